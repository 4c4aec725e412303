/** Bits of `byteClass`, one table look-up per byte. */
export const isToken = 1; // tchar, RFC 9110 §5.6.2
export const isTarget = 2; // 0x21–0x7e without `#`
export const isValue = 4; // tab, 0x20–0x7e, 0x80–0xff
export const isUnreserved = 8; // RFC 3986 §2.3: what SigV4 leaves unescaped
export const isUpper = 16; // A–Z
export const isHost = 32; // what RFC 3986 §3.2.2 allows in host and port, escapes included

/** The classes of each byte. */
export const byteClass: Uint8Array = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const character = String.fromCharCode(byte);
  const isAlphanumeric = /[0-9A-Za-z]/.test(character);
  if (isAlphanumeric || "!#$%&'*+-.^_`|~".includes(character)) byteClass[byte]! |= isToken;
  if (byte > 0x20 && byte < 0x7f && character !== "#") byteClass[byte]! |= isTarget;
  if (byte === 9 || (byte >= 0x20 && byte !== 0x7f)) byteClass[byte]! |= isValue;
  if (/[A-Z]/.test(character)) byteClass[byte]! |= isUpper;
  if (isAlphanumeric || "-._~%!$&'()*+;=:[]".includes(character)) byteClass[byte]! |= isHost;
  if (isAlphanumeric || "-._~".includes(character)) byteClass[byte]! |= isUnreserved;
}

/** Value of a hex digit, −1 for any other byte. */
export const hexValue: Int8Array = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  const character = digit.toString(16);
  hexValue[character.charCodeAt(0)] = digit;
  hexValue[character.toUpperCase().charCodeAt(0)] = digit;
}

/** One character per byte. Exact for all 256 values, unlike `TextDecoder("latin1")`. */
export function toBinaryString(source: Uint8Array): string {
  let isAscii = true;
  for (let i = 0; i < source.byteLength; i++) {
    if (source[i]! >= 0x80) {
      isAscii = false;
      break;
    }
  }
  if (isAscii) return asciiDecoder.decode(source);
  let text = "";
  for (let i = 0; i < source.byteLength; i += 4096) {
    text += String.fromCharCode(...source.subarray(i, i + 4096));
  }
  return text;
}
const asciiDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
