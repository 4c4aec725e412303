import type { Fields } from "@kiseki/s3";
import { isFault, parseFields, type S3Request } from "@kiseki/s3";
import type { RequestWords } from "./needs.ts";

const nothing: RequestWords = {
  header: () => undefined,
  query: () => undefined,
  queryNames: [],
};

/** Headers and query of a request whose call was parsed; a form has those that its fields stand for. */
export function requestWords(
  request: S3Request,
  form: ReadonlyMap<string, string> | undefined,
): RequestWords {
  if (form !== undefined) {
    return { ...nothing, header: (name) => form.get(name) };
  }
  const fields = parseFields(request);
  if (isFault(fields)) return nothing; // the call would not have parsed
  const { queryNames } = fields as Fields;
  return {
    header: (name) => (fields as Fields).get(name),
    query: (name) => (fields as Fields).query(name),
    queryNames,
  };
}
