import { fromUtf8, newBytes } from "@kiseki/base";

/** What the head of a form's part says. */
export interface PartHead {
  /** Lower case. */
  readonly name: string;
  /** As sent, path and all. */
  readonly filename: string | undefined;
}

const lineCountMax = 8;
const boundaryForm =
  /^[0-9A-Za-z'()+_,./:=?-][0-9A-Za-z'()+_,./:=? -]{0,68}[0-9A-Za-z'()+_,./:=?-]$|^[0-9A-Za-z'()+_,./:=?-]$/;
const mediaTypeForm =
  /^multipart\/form-data[ \t]*((?:;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:"[^"\\]*"|[^\s";]+)[ \t]*)*)$/i;

/**
 * The boundary of a Content-Type `multipart/form-data` (RFC 2046 §5.1.1), `undefined` in it for that type without one good
 * boundary; `undefined` for another type.
 */
export function formBoundary(
  contentType: string | undefined,
): { readonly boundary: string | undefined } | undefined {
  const text = contentType?.trim() ?? "";
  if (!/^multipart\/form-data[ \t]*(;|$)/i.test(text)) return undefined;
  const parameters = mediaTypeForm.exec(text)?.[1] ?? "";
  const given = [...parameters.matchAll(/;[ \t]*boundary=(?:"([^"\\]*)"|([^\s";]+))/gi)];
  const boundary = given[0]?.[1] ?? given[0]?.[2] ?? "";
  return { boundary: given.length === 1 && boundaryForm.test(boundary) ? boundary : undefined };
}

/** Reads a part's head: its lines without the empty one, one character per byte, the last line end included. */
export function readPartHead(text: string): PartHead | undefined {
  const lines = text.split("\r\n").filter((line) => line !== "");
  if (lines.length > lineCountMax) return undefined;
  const values = new Map<string, string>();
  for (const line of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    // oxlint-disable-next-line no-control-regex -- control bytes are what this refuses
    if (match === null || /[\u0000-\u0008\u000a-\u001f\u007f]/.test(line)) return undefined;
    const name = match[1]!.toLowerCase();
    if (values.has(name)) return undefined;
    values.set(name, match[2]!);
  }
  // base64 and quoted-printable are gone from forms (RFC 7578 §4.7); read as they stand they would be other bytes.
  if (!/^(|binary|8bit|7bit)$/i.test(values.get("content-transfer-encoding") ?? ""))
    return undefined;
  return readDisposition(values.get("content-disposition") ?? "");
}

function readDisposition(value: string): PartHead | undefined {
  if (!/^form-data[ \t]*;/i.test(value)) return undefined;
  const parameter = /;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:\\"|[^"])*)"|([^\s";]+))[ \t]*/y;
  parameter.lastIndex = value.indexOf(";");
  const found = new Map<string, string>();
  while (parameter.lastIndex < value.length) {
    const match = parameter.exec(value);
    if (match === null) return undefined;
    const name = match[1]!.toLowerCase();
    // Old browsers escape a quote by a backslash, and leave those of paths alone.
    const text = fromBinary((match[2] ?? match[3]!).replaceAll('\\"', '"'));
    if (found.has(name) || text === undefined) return undefined;
    found.set(name, text);
  }
  const name = found.get("name");
  return name === undefined
    ? undefined
    : { name: name.toLowerCase(), filename: found.get("filename") };
}

/** Text of which each character is one byte, as UTF-8. */
function fromBinary(text: string): string | undefined {
  const bytes = newBytes(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return fromUtf8(bytes);
}
