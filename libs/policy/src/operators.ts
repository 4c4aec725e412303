/** Condition operators by name, each with the type of its values. */

export type Comparison =
  | "string"
  | "stringIgnoreCase"
  | "stringLike"
  | "arnLike"
  | "numeric"
  | "date"
  | "bool"
  | "binary"
  | "ip"
  | "null";
export type Order = "=" | "<" | "<=" | ">" | ">=";

/** How many of the request's values have to match. */
export type Quantifier = "one" | "all" | "any";

export interface Operator {
  readonly comparison: Comparison;
  /** Numbers and dates. */
  readonly order: Order;
  readonly isNegated: boolean;
  readonly quantifier: Quantifier;
  /** Holds when the request has no such key. */
  readonly isIfExists: boolean;
}

type Base = readonly [comparison: Comparison, isNegated: boolean, order: Order];

const bases: ReadonlyMap<string, Base> = new Map<string, Base>([
  ["stringequals", ["string", false, "="]],
  ["stringnotequals", ["string", true, "="]],
  ["stringequalsignorecase", ["stringIgnoreCase", false, "="]],
  ["stringnotequalsignorecase", ["stringIgnoreCase", true, "="]],
  ["stringlike", ["stringLike", false, "="]],
  ["stringnotlike", ["stringLike", true, "="]],
  ["numericequals", ["numeric", false, "="]],
  ["numericnotequals", ["numeric", true, "="]],
  ["numericlessthan", ["numeric", false, "<"]],
  ["numericlessthanequals", ["numeric", false, "<="]],
  ["numericgreaterthan", ["numeric", false, ">"]],
  ["numericgreaterthanequals", ["numeric", false, ">="]],
  ["dateequals", ["date", false, "="]],
  ["datenotequals", ["date", true, "="]],
  ["datelessthan", ["date", false, "<"]],
  ["datelessthanequals", ["date", false, "<="]],
  ["dategreaterthan", ["date", false, ">"]],
  ["dategreaterthanequals", ["date", false, ">="]],
  ["bool", ["bool", false, "="]],
  ["binaryequals", ["binary", false, "="]],
  ["ipaddress", ["ip", false, "="]],
  ["notipaddress", ["ip", true, "="]],
  // AWS: ArnEquals and ArnLike behave the same.
  ["arnequals", ["arnLike", false, "="]],
  ["arnlike", ["arnLike", false, "="]],
  ["arnnotequals", ["arnLike", true, "="]],
  ["arnnotlike", ["arnLike", true, "="]],
  ["null", ["null", false, "="]],
]);

const quantifiers: readonly (readonly [prefix: string, Quantifier])[] = [
  ["forallvalues:", "all"],
  ["foranyvalue:", "any"],
];
const ifExists = "ifexists";

/** The operator of that name, in any case; `undefined` when there is none. */
export function parseOperator(name: string): Operator | undefined {
  let rest = name.toLowerCase();
  let quantifier: Quantifier = "one";
  for (const [prefix, kind] of quantifiers) {
    if (!rest.startsWith(prefix)) continue;
    quantifier = kind;
    rest = rest.slice(prefix.length);
    break;
  }
  const isIfExists = rest.endsWith(ifExists);
  if (isIfExists) rest = rest.slice(0, -ifExists.length);
  const base = bases.get(rest);
  if (base === undefined) return undefined;
  const [comparison, isNegated, order] = base;
  if (comparison === "null" && (isIfExists || quantifier !== "one")) return undefined;
  return { comparison, isNegated, order, quantifier, isIfExists };
}

/** Whether text of a condition may hold `*` and `?`. */
export function takesWildcards({ comparison }: Operator): boolean {
  return comparison === "stringLike" || comparison === "arnLike";
}
