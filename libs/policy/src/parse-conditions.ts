import type { Condition, ConditionValue, PolicyVersion } from "./document.ts";
import { parsePolicyDate } from "./dates.ts";
import { isVariableKey, normaliseKey } from "./keys.ts";
import { parseNetwork } from "./network.ts";
import { type Operator, parseOperator, takesWildcards } from "./operators.ts";
import { PolicyFault } from "./policy-fault.ts";
import type { JsonValue } from "./strict-json.ts";
import { parseTemplate } from "./template.ts";

const valuesMax = 1024;

/** `{operator: {key: value or values}}`. @throws {PolicyFault} for operators, keys and values that are not known. */
export function parseConditions(
  value: JsonValue | undefined,
  version: PolicyVersion,
): readonly Condition[] {
  if (value === undefined) return [];
  const conditions: Condition[] = [];
  for (const [name, keys] of membersOf(value)) {
    const operator = parseOperator(name);
    if (operator === undefined)
      throw new PolicyFault(`Invalid Condition type : ${name.slice(0, 64)}`);
    for (const [keyName, given] of membersOf(keys)) {
      const key = normaliseKey(keyName);
      if (key === undefined) throw new PolicyFault("Policy has an invalid condition key");
      const list = Array.isArray(given) ? (given as readonly JsonValue[]) : [given];
      if (list.length === 0 || list.length > valuesMax)
        throw new PolicyFault("Conditions need values");
      const values = list.map((each) => parseValue(operator, each, version));
      conditions.push({ operator, key, values });
    }
  }
  return conditions;
}

function membersOf(value: JsonValue): readonly (readonly [string, JsonValue])[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PolicyFault("Conditions must be objects");
  }
  return Object.entries(value);
}

function parseValue(operator: Operator, given: JsonValue, version: PolicyVersion): ConditionValue {
  if (typeof given !== "string" && typeof given !== "number" && typeof given !== "boolean") {
    throw new PolicyFault("Values of conditions are text, numbers or booleans");
  }
  const text = String(given);
  const parsed = parseText(operator, text, version);
  if (parsed === undefined) {
    throw new PolicyFault(`Invalid value of a condition: ${text.slice(0, 64)}`);
  }
  return parsed;
}

function parseText(
  operator: Operator,
  text: string,
  version: PolicyVersion,
): ConditionValue | undefined {
  switch (operator.comparison) {
    case "numeric":
      return /^-?\d{1,15}(\.\d{1,15})?$/.test(text)
        ? { kind: "number", number: Number(text) }
        : undefined;
    case "date": {
      const time = parsePolicyDate(text);
      return time === undefined ? undefined : { kind: "number", number: time };
    }
    case "bool":
    case "null": {
      const lower = text.toLowerCase();
      if (lower !== "true" && lower !== "false") return undefined;
      return { kind: "bool", bool: lower === "true" };
    }
    case "ip": {
      const network = parseNetwork(text);
      return network && { kind: "network", network };
    }
    default: {
      const isArn = text === "*" || text.includes("${") || text.split(":").length >= 6;
      if (operator.comparison === "arnLike" && !isArn) return undefined;
      const template = parseTemplate(text, {
        hasWildcards: takesWildcards(operator),
        hasVariables: version === "2012-10-17" && operator.comparison !== "binary",
        isVariable: isVariableKey,
      });
      return template && { kind: "text", template };
    }
  }
}
