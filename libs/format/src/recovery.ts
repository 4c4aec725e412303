import { newBytes, unreachable } from "@kiseki/base";

/**
 * The recovery code: 175 random bits in 9 groups of 5 symbols of Crockford's base 32, as
 * `1ABCX-…`. The first symbol is the version; the last of each group is a check over the group and
 * its number, so a wrong symbol, two neighbours swapped or two groups swapped are named by group.
 * The bits are laid out in `docs/formats/cluster-key.md`.
 */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const versionSymbol = 1;
const groupCount = 9;
const groupDataCount = 4;
const groupSymbolCount = groupDataCount + 1;

/** Bytes behind a code; the last bit of the last byte is not used and 0. */
export const recoverySecretSize = 22;

export type RecoveryCodeFault =
  /** `symbols`: how many there were, hyphens and blanks not counted; 45 are wanted. */
  | { readonly kind: "length"; readonly symbols: number }
  /** Not a letter or digit of the code. Groups and positions count from 1. */
  | { readonly kind: "symbol"; readonly group: number; readonly position: number }
  /** The group's check does not fit. */
  | { readonly kind: "typo"; readonly group: number }
  | { readonly kind: "version" };

/** a · 2 in GF(32) with x^5 + x^2 + 1. */
const doubled = (a: number): number => ((a << 1) ^ ((a >> 4) * 0x25)) & 0x1f;

/** Σ 2^i · symbol_i + 2^4 · group number: one wrong symbol or two swapped neighbours change it. */
function checkSymbol(symbols: readonly number[], groupNumber: number): number {
  let sum = groupNumber;
  for (const symbol of symbols.toReversed()) sum = doubled(sum) ^ symbol;
  return sum;
}

function symbolsOf(secret: Uint8Array): number[] {
  const symbols = [versionSymbol];
  let bits = 0;
  let bitCount = 0;
  for (const byte of secret) {
    bits = (bits << 8) | byte;
    for (bitCount += 8; bitCount >= 5; bitCount -= 5) {
      symbols.push((bits >> (bitCount - 5)) & 0x1f);
    }
    bits &= (1 << bitCount) - 1;
  }
  return symbols;
}

/** 22 random bytes as a secret a code can carry: clears the bit that is not used. */
export function toRecoverySecret(random: Uint8Array): Uint8Array {
  if (random.byteLength !== recoverySecretSize) {
    throw new RangeError(`Cannot make a recovery code of ${random.byteLength} bytes: 22 are used`);
  }
  const secret = newBytes(recoverySecretSize);
  secret.set(random);
  secret[recoverySecretSize - 1]! &= 0xfe;
  return secret;
}

/** The code to print. @throws {RangeError} when `secret` is not one of `toRecoverySecret`. */
export function formatRecoveryCode(secret: Uint8Array): string {
  if (secret.byteLength !== recoverySecretSize || (secret[recoverySecretSize - 1]! & 1) !== 0) {
    throw new RangeError("Cannot print a recovery code: its secret has 175 bits");
  }
  const symbols = symbolsOf(secret);
  const groups: string[] = [];
  for (let i = 0; i < groupCount; i++) {
    const data = symbols.slice(i * groupDataCount, (i + 1) * groupDataCount);
    groups.push([...data, checkSymbol(data, i + 1)].map((symbol) => alphabet[symbol]!).join(""));
  }
  return groups.join("-");
}

function symbolValue(letter: string): number | undefined {
  const upper = letter.toUpperCase().replace("O", "0").replace(/[IL]/, "1");
  const value = alphabet.indexOf(upper);
  return value < 0 ? undefined : value;
}

function groupData(letters: string, groupNumber: number): readonly number[] | RecoveryCodeFault {
  const symbols: number[] = [];
  for (const [i, letter] of [...letters].entries()) {
    const value = symbolValue(letter);
    if (value === undefined) return { kind: "symbol", group: groupNumber, position: i + 1 };
    symbols.push(value);
  }
  const data = symbols.slice(0, groupDataCount);
  if (checkSymbol(data, groupNumber) !== symbols[groupDataCount]) {
    return { kind: "typo", group: groupNumber };
  }
  return data;
}

/** The secret of a code as a person typed it: any case, hyphens and blanks anywhere, O for 0, I and L for 1. */
export function parseRecoveryCode(text: string): Uint8Array | RecoveryCodeFault {
  if (text.length > 1024) return { kind: "length", symbols: text.length };
  const letters = [...text.replaceAll(/[\s-]/g, "")];
  if (letters.length !== groupCount * groupSymbolCount) {
    return { kind: "length", symbols: letters.length };
  }
  const symbols: number[] = [];
  for (let i = 0; i < groupCount; i++) {
    const start = i * groupSymbolCount;
    const data = groupData(letters.slice(start, start + groupSymbolCount).join(""), i + 1);
    if ("kind" in data) return data;
    symbols.push(...data);
  }
  if (symbols[0] !== versionSymbol) return { kind: "version" };
  return secretOf(symbols.slice(1));
}

function secretOf(symbols: readonly number[]): Uint8Array {
  const secret = newBytes(recoverySecretSize);
  let bits = 0;
  let bitCount = 0;
  let size = 0;
  for (const symbol of [...symbols, 0]) {
    bits = (bits << 5) | symbol;
    bitCount += 5;
    if (bitCount >= 8 && size < recoverySecretSize) {
      bitCount -= 8;
      secret[size++] = (bits >> bitCount) & 0xff;
      bits &= (1 << bitCount) - 1;
    }
  }
  return secret;
}

/** One sentence for the person at the keyboard. */
export function explainRecoveryCodeFault(fault: RecoveryCodeFault): string {
  switch (fault.kind) {
    case "length":
      return `The recovery code has ${groupCount * groupSymbolCount} letters and digits, not ${fault.symbols}`;
    case "symbol":
      return `Group ${fault.group} of the recovery code has a foreign sign at place ${fault.position}`;
    case "typo":
      return `Group ${fault.group} of the recovery code is mistyped`;
    case "version":
      return "The recovery code is of a version that this program does not know";
    default:
      return unreachable(fault);
  }
}
