/** IP addresses and CIDR blocks as bytes. */
import type { Network } from "./document.ts";

/** The bytes of an address, 4 or 16; IPv4 inside IPv6 (`::ffff:…`) counts as IPv4. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined;
  return text.includes(":") ? unmapped(parseV6(text)) : parseV4(text);
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseV6(text: string): Uint8Array | undefined {
  const tail = text.slice(text.lastIndexOf(":") + 1);
  if (tail.includes(".")) {
    const v4 = parseV4(tail);
    if (v4 === undefined) return undefined;
    const group = (i: number): string => ((v4[i]! << 8) | v4[i + 1]!).toString(16);
    return parseV6(`${text.slice(0, -tail.length)}${group(0)}:${group(2)}`);
  }
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groupsOf = (half: string | undefined): string[] =>
    half === undefined || half === "" ? [] : half.split(":");
  const head = groupsOf(halves[0]);
  const rest = groupsOf(halves[1]);
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...rest];
  const bytes = new Uint8Array(16);
  for (const [i, group] of groups.entries()) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    const value = Number.parseInt(group, 16);
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 0xff;
  }
  return bytes;
}

function unmapped(bytes: Uint8Array | undefined): Uint8Array | undefined {
  if (bytes === undefined) return undefined;
  const isMapped =
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.slice(12) : bytes;
}

/** `address/prefix`, or an address alone, which is a block of one. */
export function parseNetwork(text: string): Network | undefined {
  const [address = "", bits, ...more] = text.split("/");
  if (more.length > 0) return undefined;
  const bytes = address.includes(":") ? parseV6(address) : parseV4(address);
  if (bytes === undefined) return undefined;
  const size = bytes.byteLength * 8;
  if (bits === undefined) return { address: bytes, prefix: size };
  if (!/^(0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > size) return undefined;
  return { address: bytes, prefix: Number(bits) };
}

/** Whether the block holds the address; never across the two families. */
export function isInNetwork({ address, prefix }: Network, candidate: Uint8Array): boolean {
  if (address.byteLength !== candidate.byteLength) return false;
  for (let bit = 0, i = 0; bit < prefix; bit += 8, i++) {
    const mask = prefix - bit >= 8 ? 0xff : (0xff << (8 - (prefix - bit))) & 0xff;
    if ((address[i]! & mask) !== (candidate[i]! & mask)) return false;
  }
  return true;
}
