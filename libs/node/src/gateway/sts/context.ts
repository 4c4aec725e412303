import type { RequestContext } from "@kiseki/policy";
import type { FrontRequest } from "../../front/types.ts";
import type { Identity } from "../identity.ts";

/** Condition keys that policies may ask for here. */
export function contextOf(
  request: FrontRequest,
  caller: Identity | undefined,
  now: number,
  more: Readonly<Record<string, string | undefined>>,
): RequestContext {
  const values: Readonly<Record<string, string | undefined>> = {
    "aws:currenttime": new Date(now).toISOString(),
    "aws:epochtime": String(Math.floor(now / 1000)),
    "aws:principalaccount": caller?.principal.account,
    "aws:principalarn": caller && (caller.principal.issuerArn ?? caller.principal.arn),
    "aws:securetransport": String(request.isTls),
    "aws:sourceip": request.remoteAddress,
    "aws:userid": caller?.principal.userId,
    "aws:username": caller?.principal.userName,
    ...more,
  };
  return {
    get(key) {
      const value = Object.hasOwn(values, key) ? values[key] : undefined;
      return value === undefined ? undefined : [value];
    },
  };
}
