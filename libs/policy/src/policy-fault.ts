/** A policy that is refused; the message says why, to whoever wrote it. */
export class PolicyFault extends Error {
  override readonly name = "PolicyFault";
}
