/**
 * XML of request bodies, as a tree of named elements. The library finds the elements; what it is
 * lenient about (bytes, DOCTYPE, entities, stray text) is decided here, strictly.
 */
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { fromUtf8 } from "@kiseki/base";

/** An element: either `text` or `children` mean something, by what the schema wants. */
export interface XmlElement {
  /** Local name, without a namespace's prefix. */
  readonly name: string;
  /** Its own text, entities resolved, spaces kept. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

const depthMax = 8;
const textName = "#text";
const cdataName = "#cdata";

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: false,
  htmlEntities: false,
  textNodeName: textName,
  cdataPropName: cdataName,
  ignoreDeclaration: true,
  ignorePiTags: true,
  maxNestedTags: depthMax + 1,
});

/** XML 1.0 §2.2: the characters a document may hold, escaped or not. */
function isXmlCharacter(code: number): boolean {
  return (
    code === 0x9 ||
    code === 0xa ||
    code === 0xd ||
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    (code >= 0x10000 && code <= 0x10ffff)
  );
}
// oxlint-disable-next-line no-control-regex -- control characters are what this looks for
const foreignCharacter = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

const namedEntities: Readonly<Record<string, string>> = {
  amp: "&",
  apos: "'",
  gt: ">",
  lt: "<",
  quot: '"',
};

/** Resolves XML's five entities and character references; `undefined` for anything else after `&`. */
function resolveEntities(text: string): string | undefined {
  if (!text.includes("&")) return text;
  let isSound = true;
  const resolved = text.replace(/&([^;&]{0,12};?)/g, (_, reference: string) => {
    const name = reference.endsWith(";") ? reference.slice(0, -1) : "";
    if (Object.hasOwn(namedEntities, name)) return namedEntities[name]!;
    const isHex = /^#x[0-9a-fA-F]{1,6}$/.test(name);
    const code = isHex
      ? Number.parseInt(name.slice(2), 16)
      : /^#[0-9]{1,7}$/.test(name)
        ? Number(name.slice(1))
        : -1;
    if (isXmlCharacter(code)) return String.fromCodePoint(code);
    isSound = false;
    return "";
  });
  return isSound ? resolved : undefined;
}

/** A node as the library makes it with `preserveOrder`: one property, the name. */
type ParsedNode = Readonly<Record<string, unknown>>;

function toElement(name: string, content: unknown): XmlElement | undefined {
  if (!Array.isArray(content)) return undefined;
  let text = "";
  const children: XmlElement[] = [];
  for (const node of content as readonly ParsedNode[]) {
    for (const [key, value] of Object.entries(node)) {
      if (key === textName) {
        const resolved = typeof value === "string" ? resolveEntities(value) : undefined;
        if (resolved === undefined) return undefined;
        text += resolved;
      } else if (key === cdataName) {
        text += cdataText(value);
      } else if (key !== ":@") {
        const child = toElement(key, value);
        if (child === undefined) return undefined;
        children.push(child);
      }
    }
  }
  return { name, text, children };
}

function cdataText(content: unknown): string {
  let text = "";
  for (const node of Array.isArray(content) ? (content as readonly ParsedNode[]) : []) {
    const value = node[textName];
    if (typeof value === "string") text += value;
  }
  return text;
}

/**
 * The root of a document, or `undefined` when it is not well-formed UTF-8 XML without DOCTYPE, is
 * deeper than 8 elements or has more than `tagCountMax` opening brackets. `source` was bounded by
 * the caller; the count is taken before any element is made.
 */
export function readXml(source: Uint8Array, tagCountMax: number): XmlElement | undefined {
  let tagCount = 0;
  for (const byte of source) if (byte === 0x3c) tagCount += 1;
  if (tagCount === 0 || tagCount > tagCountMax) return undefined;
  const decoded = fromUtf8(source);
  if (decoded === undefined) return undefined;
  const text = (decoded.startsWith("\ufeff") ? decoded.slice(1) : decoded).replace(/\r\n?/g, "\n");
  if (text.includes("<!DOCTYPE") || text.includes("<!ENTITY") || foreignCharacter.test(text)) {
    return undefined;
  }
  const declared = /^<\?xml[^>]*encoding\s*=\s*["']([^"']*)["']/.exec(text);
  if (declared && !/^(utf-?8|us-ascii)$/i.test(declared[1]!)) return undefined;
  try {
    if (XMLValidator.validate(text) !== true) return undefined;
    const nodes = parser.parse(text) as readonly ParsedNode[];
    const roots = nodes.flatMap((node) => Object.entries(node)).filter(([key]) => key !== ":@");
    const elements = roots.filter(([key]) => key !== textName);
    const isTextBlank = roots.every(
      ([key, value]) => key !== textName || String(value).trim() === "",
    );
    if (elements.length !== 1 || !isTextBlank || elements[0]![0] === cdataName) return undefined;
    return toElement(elements[0]![0], elements[0]![1]);
  } catch (reason) {
    if (reason instanceof Error) return undefined; // the library throws plain errors for what it cannot read
    throw reason;
  }
}
