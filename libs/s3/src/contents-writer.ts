/** The `Contents` elements of a page, a thousand and more at a time: as bytes, without a string for each part of each. */
import { fromUtf8, newBytes, toUtf8 } from "@kiseki/base";
import { percentEncodeBytes } from "@kiseki/http";
import { checksumLabel } from "./checksum.ts";
import { formatIsoDate } from "./date.ts";
import type { ListedObject, Owner } from "./result.ts";
import { escapeXml } from "./xml-write.ts";

const opening = toUtf8("<Contents><Key>");
const emptyKey = toUtf8("<Contents><Key/>");
const afterKey = toUtf8("</Key>");
const beforeDate = toUtf8("<LastModified>");
const beforeEtag = toUtf8("</LastModified><ETag>&quot;");
const afterEtag = toUtf8("&quot;</ETag>");
const beforeSize = toUtf8("<Size>");
const afterSize = toUtf8("</Size>");
const closing = toUtf8("</Contents>");
/** What one element takes beyond its key and its owner; a first guess, the room grows. */
const elementSize = 240;
/** Of `2026-11-20T11:06:45.` */
const secondSize = 20;

/** Bytes that stand for themselves in a document's text, and those that `encoding-type=url` leaves alone. */
const isPlain = new Uint8Array(256);
const isUnescaped = new Uint8Array(256);
for (let byte = 0x20; byte < 0x7f; byte++) {
  const text = String.fromCharCode(byte);
  isPlain[byte] = Number(escapeXml(text) === text);
  isUnescaped[byte] = Number(text === "/" || percentEncodeBytes(Uint8Array.of(byte)) === text);
}

export class ContentsWriter {
  readonly #isUrlEncoded: boolean;
  readonly #isOwnerShown: boolean;
  #target: Uint8Array<ArrayBuffer>;
  #size = 0;
  /** The second that was written last: objects of one page are often of a few. */
  #second = Number.NaN;
  readonly #secondText = new Uint8Array(secondSize);
  #owner: Owner | undefined;
  #ownerText: Uint8Array = newBytes(0);
  #class = "";
  #classText: Uint8Array = newBytes(0);

  constructor(options: {
    readonly isUrlEncoded: boolean;
    readonly isOwnerShown: boolean;
    /** Elements that are expected. */
    readonly count: number;
  }) {
    this.#isUrlEncoded = options.isUrlEncoded;
    this.#isOwnerShown = options.isOwnerShown;
    this.#target = newBytes((options.count + 1) * elementSize);
  }
  add(object: ListedObject): void {
    this.#key(object.key);
    this.#bytes(beforeDate);
    this.#date(object.lastModified);
    this.#bytes(beforeEtag);
    this.#text(object.etag);
    this.#bytes(afterEtag);
    const { checksumAlgorithm: algorithm, checksumType: type } = object;
    if (algorithm !== undefined) {
      this.#element("ChecksumAlgorithm", checksumLabel(algorithm));
      if (type !== undefined) this.#element("ChecksumType", type);
    }
    this.#bytes(beforeSize);
    this.#text(String(object.size));
    this.#bytes(afterSize);
    if (this.#isOwnerShown) this.#bytes(this.#ownerOf(object.owner));
    this.#bytes(this.#classOf(object.storageClass));
    this.#bytes(closing);
  }
  /** All that was added; the writer is not used again. */
  done(): Uint8Array {
    return this.#target.subarray(0, this.#size);
  }

  #room(count: number): void {
    if (this.#size + count <= this.#target.byteLength) return;
    const larger = newBytes(Math.max(2 * this.#target.byteLength, this.#size + count));
    larger.set(this.#target.subarray(0, this.#size));
    this.#target = larger;
  }
  #bytes(source: Uint8Array): void {
    this.#room(source.byteLength);
    this.#target.set(source, this.#size);
    this.#size += source.byteLength;
  }
  /** Of a listed key, which is well-formed UTF-8. */
  #key(key: Uint8Array): void {
    if (key.byteLength === 0) return this.#bytes(emptyKey);
    this.#bytes(opening);
    const plain = this.#isUrlEncoded ? isUnescaped : isPlain;
    let at = 0;
    while (at < key.byteLength && plain[key[at]!] === 1) at += 1;
    if (at === key.byteLength) this.#bytes(key);
    else if (this.#isUrlEncoded) this.#text(percentEncodeBytes(key, "keep_slash"));
    else this.#bytes(toUtf8(escapeXml(fromUtf8(key)!)));
    this.#bytes(afterKey);
  }
  /** ASCII of which no character is special. */
  #text(text: string): void {
    this.#room(text.length);
    const target = this.#target;
    const start = this.#size;
    for (let i = 0; i < text.length; i++) target[start + i] = text.charCodeAt(i);
    this.#size = start + text.length;
  }
  #element(name: string, text: string): void {
    this.#bytes(toUtf8(`<${name}>${escapeXml(text)}</${name}>`));
  }
  #date(time: ListedObject["lastModified"]): void {
    const second = Math.floor(time / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText.set(toUtf8(formatIsoDate(time).slice(0, secondSize)));
    }
    this.#bytes(this.#secondText);
    this.#room(4);
    const milli = time - second * 1000;
    const target = this.#target;
    target[this.#size] = 0x30 + Math.floor(milli / 100);
    target[this.#size + 1] = 0x30 + (Math.floor(milli / 10) % 10);
    target[this.#size + 2] = 0x30 + (milli % 10);
    target[this.#size + 3] = 0x5a; // "Z"
    this.#size += 4;
  }
  #ownerOf(owner: Owner): Uint8Array {
    if (owner === this.#owner) return this.#ownerText;
    this.#owner = owner;
    const name = escapeXml(owner.displayName);
    const nameText = name === "" ? "<DisplayName/>" : `<DisplayName>${name}</DisplayName>`;
    this.#ownerText = toUtf8(`<Owner><ID>${escapeXml(owner.id)}</ID>${nameText}</Owner>`);
    return this.#ownerText;
  }
  #classOf(name: string): Uint8Array {
    if (name === this.#class) return this.#classText;
    this.#class = name;
    this.#classText = toUtf8(`<StorageClass>${escapeXml(name)}</StorageClass>`);
    return this.#classText;
  }
}
