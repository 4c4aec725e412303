/** Whether the conditions of a statement hold for a request. */
import { sameBytes, unreachable } from "@kiseki/base";
import { parsePolicyDate } from "./dates.ts";
import type { Condition, ConditionValue } from "./document.ts";
import { isInNetwork, parseAddress } from "./network.ts";
import type { Order } from "./operators.ts";
import {
  lowerTemplate,
  matchTemplate,
  type Resolve,
  resolveTemplate,
  type Template,
  toTemplate,
} from "./template.ts";

/** `undefined`: cannot be told. An Allow is then not given, and a Deny is. */
export type Verdict = boolean | undefined;

/** Values of condition keys of one request, by normalised name. */
export interface RequestContext {
  /** No value: `undefined`, or an empty list. `unknown`: there may be some, which nobody has read yet. */
  get(key: string): readonly string[] | "unknown" | undefined;
}

export function resolverOf(
  context: RequestContext,
  normalise: (name: string) => string | undefined,
): Resolve {
  return (name) => {
    const key = normalise(name);
    const values = key === undefined ? undefined : context.get(key);
    return values !== "unknown" && values?.length === 1 ? values[0] : undefined;
  };
}

/** All of them: false as soon as one is, else `undefined` as soon as one is. */
export function matchConditions(
  conditions: readonly Condition[],
  context: RequestContext,
  resolve: Resolve,
): Verdict {
  let verdict: Verdict = true;
  for (const condition of conditions) {
    const given = context.get(condition.key) ?? [];
    const held = given === "unknown" ? undefined : matchCondition(condition, given, resolve);
    if (held === false) return false;
    if (held === undefined) verdict = undefined;
  }
  return verdict;
}

function matchCondition(
  { operator, values }: Condition,
  given: readonly string[],
  resolve: Resolve,
): Verdict {
  const { comparison, quantifier, isNegated, isIfExists, order } = operator;
  if (comparison === "null") {
    return some(values, (value) => value.kind === "bool" && value.bool === (given.length === 0));
  }
  if (given.length === 0)
    return isIfExists || quantifier === "all" || (quantifier === "one" && isNegated);
  const isOne = (text: string): Verdict =>
    some(values, (value) => {
      const resolved = resolveValue(value, resolve);
      // AWS: what cannot be resolved equals nothing. That it "does not equal" is more than can be told.
      if (resolved === undefined) return isNegated ? undefined : false;
      return compare(comparison, order, resolved, text);
    });
  if (quantifier === "one") return flip(some(given, isOne), isNegated);
  const isHeld = (text: string): Verdict => flip(isOne(text), isNegated);
  if (quantifier === "any") return some(given, isHeld);
  return flip(
    some(given, (text) => flip(isHeld(text), true)),
    true,
  );
}

function flip(verdict: Verdict, isFlipped: boolean): Verdict {
  return verdict === undefined || !isFlipped ? verdict : !verdict;
}

function some<T>(list: readonly T[], test: (each: T) => Verdict): Verdict {
  let verdict: Verdict = false;
  for (const each of list) {
    const held = test(each);
    if (held === true) return true;
    if (held === undefined) verdict = undefined;
  }
  return verdict;
}

function resolveValue(value: ConditionValue, resolve: Resolve): ConditionValue | undefined {
  if (value.kind !== "text") return value;
  const template = resolveTemplate(value.template, resolve);
  return template && { kind: "text", template };
}

function compare(
  comparison: Condition["operator"]["comparison"],
  order: Order,
  value: ConditionValue,
  text: string,
): Verdict {
  switch (value.kind) {
    case "number": {
      const isNumber = /^-?\d{1,15}(\.\d{1,15})?$/.test(text);
      const given =
        comparison === "date" ? parsePolicyDate(text) : isNumber ? Number(text) : undefined;
      return given === undefined ? undefined : isOrdered(given, order, value.number);
    }
    case "bool": {
      const lower = text.toLowerCase();
      return lower === "true" || lower === "false" ? (lower === "true") === value.bool : undefined;
    }
    case "network": {
      const address = parseAddress(text);
      return address && isInNetwork(value.network, address);
    }
    case "text":
      return compareText(comparison, value.template, text);
    default:
      return unreachable(value);
  }
}

function isOrdered(given: number, order: Order, wanted: number): boolean {
  switch (order) {
    case "=":
      return given === wanted;
    case "<":
      return given < wanted;
    case "<=":
      return given <= wanted;
    case ">":
      return given > wanted;
    case ">=":
      return given >= wanted;
    default:
      return unreachable(order);
  }
}

function compareText(
  comparison: Condition["operator"]["comparison"],
  template: Template,
  text: string,
): Verdict {
  if (comparison === "stringIgnoreCase") {
    return matchTemplate(lowerTemplate(template), text.toLowerCase());
  }
  if (comparison === "arnLike") return matchArn(template, text);
  if (comparison === "binary") {
    const wanted = decodeBase64(template.plain ?? "");
    const given = decodeBase64(text);
    return wanted && given && sameBytes(wanted, given);
  }
  return matchTemplate(template, text);
}

function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(text);
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined;
    throw reason;
  }
}

/** An ARN has six parts; a wildcard stays in its own. */
function matchArn(template: Template, text: string): boolean {
  const parts = text.split(":");
  if (parts.length < 6) return false;
  const given = [...parts.slice(0, 5), parts.slice(5).join(":")];
  if (template.pieces.length === 1 && template.pieces[0]?.kind === "many") return true;
  const wanted = splitTemplate(template);
  return wanted.length === 6 && wanted.every((part, i) => matchTemplate(part, given[i]!));
}

/** At its first five colons. */
function splitTemplate(template: Template): readonly Template[] {
  const parts: Template["pieces"][number][][] = [[]];
  for (const piece of template.pieces) {
    if (piece.kind !== "text") {
      parts.at(-1)!.push(piece);
      continue;
    }
    let rest = piece.text;
    for (let colon = rest.indexOf(":"); colon >= 0 && parts.length < 6; colon = rest.indexOf(":")) {
      if (colon > 0) parts.at(-1)!.push({ kind: "text", text: rest.slice(0, colon) });
      parts.push([]);
      rest = rest.slice(colon + 1);
    }
    if (rest !== "") parts.at(-1)!.push({ kind: "text", text: rest });
  }
  return parts.map(toTemplate);
}
