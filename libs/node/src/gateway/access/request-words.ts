import { toUtf8 } from "@kiseki/base";
import {
  type Fields,
  formatTaggingHeader,
  isFault,
  objectTagging,
  parseDocument,
  parseFields,
  type S3Fault,
  type S3Request,
} from "@kiseki/s3";
import type { RequestWords } from "./needs.ts";

const nothing: RequestWords = {
  header: () => undefined,
  query: () => undefined,
  queryNames: [],
};

/** The field `tagging` wins over the header's, as in the put that comes of the form. */
function formHeader(form: ReadonlyMap<string, string>, name: string): string | undefined {
  const document = name === "x-amz-tagging" ? form.get("tagging") : undefined;
  if (document === undefined) return form.get(name);
  const tagging = parseDocument(objectTagging, toUtf8(document));
  if (isFault(tagging)) return ""; // the call would not have parsed
  return formatTaggingHeader((tagging as Exclude<typeof tagging, S3Fault>).tagSet.tags);
}

/** Headers and query of a request whose call was parsed; a form has those that its fields stand for. */
export function requestWords(
  request: S3Request,
  form: ReadonlyMap<string, string> | undefined,
): RequestWords {
  if (form !== undefined) {
    return { ...nothing, header: (name) => formHeader(form, name) };
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
