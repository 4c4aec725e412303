/** What an import came to: what was made, and what could not be carried. */

/** Something that stays behind, by its name. */
export interface NotCarried {
  readonly kind: string;
  readonly name: string;
  readonly reason: string;
}
