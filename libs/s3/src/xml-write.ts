/** Writes documents: elements in the order they are added, text escaped, nothing else. */
import { concatBytes, toUtf8 } from "@kiseki/base";

/** The namespace of every S3 document but errors. */
export const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/";

// oxlint-disable-next-line no-control-regex -- control characters are what is escaped
const special = /[&<>"\u0000-\u001f\u007f\u0080-\u009f\ufffe\uffff]/g;
const named: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/**
 * Text for a document. Control characters become references, as S3 sends them: those that XML 1.0
 * has no way to say (`&#x1;`) only XML 1.1 readers take, which is what `encoding-type=url` is for.
 */
export function escapeXml(text: string): string {
  return text.replace(
    special,
    (c) => named[c] ?? `&#x${c.charCodeAt(0).toString(16).toUpperCase()};`,
  );
}

/** One element: a name with text (escaped here), or with the elements in it. */
export type XmlNode = readonly [
  name: string,
  content: string | number | boolean | readonly XmlNode[],
];

function writeNode(node: XmlNode): string {
  const [name, content] = node;
  if (typeof content !== "object") {
    const text = escapeXml(String(content));
    return text === "" ? `<${name}/>` : `<${name}>${text}</${name}>`;
  }
  return `<${name}>${content.map(writeNode).join("")}</${name}>`;
}

/** A whole document in UTF-8; with `namespace` on the root, without for errors. */
export function writeXml(
  root: string,
  namespace: string | undefined,
  content: string | readonly XmlNode[],
): Uint8Array {
  const attribute = namespace === undefined ? "" : ` xmlns="${namespace}"`;
  const inner = typeof content === "string" ? escapeXml(content) : content.map(writeNode).join("");
  const element =
    inner === "" ? `<${root}${attribute}/>` : `<${root}${attribute}>${inner}</${root}>`;
  return toUtf8(`<?xml version="1.0" encoding="UTF-8"?>\n${element}`);
}

/** As `writeXml`, with elements that are bytes already between `before` and `after`. */
export function writeXmlAround(
  root: string,
  namespace: string,
  content: {
    readonly before: readonly XmlNode[];
    readonly middle: Uint8Array;
    readonly after: readonly XmlNode[];
  },
): Uint8Array {
  const { before, middle, after } = content;
  const head = `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${namespace}">`;
  return concatBytes(
    toUtf8(head + before.map(writeNode).join("")),
    middle,
    toUtf8(`${after.map(writeNode).join("")}</${root}>`),
  );
}
