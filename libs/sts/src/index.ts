/**
 * AWS's Security Token Service, query protocol of 2011-06-15, as far as it is here: GetCallerIdentity, GetSessionToken,
 * AssumeRole, AssumeRoleWithWebIdentity. Pure: parameters to a typed call or a fault, results to XML. Refuses what it does
 * not know: other actions, parameters given twice, those that would change what the credentials may do.
 */
export { toStsFaultAnswer, toStsAnswer } from "./answer.ts";
export type { StsResult } from "./answer.ts";
export type { AssumeRoleCall, StsCall, WebIdentityCall } from "./call.ts";
export { parseStsCall } from "./parse-sts-call.ts";
export type { StsFault, StsFaultCode } from "./fault.ts";
export { isStsFault, stsFault } from "./fault.ts";
export { isStsRequest, stsBodySizeMax } from "./find-request.ts";
