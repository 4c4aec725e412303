import { expect, test } from "bun:test";
import { readWorkflowRef } from "./workflow-ref.ts";

const id = "00112233445566778899aabbccddeeff";

test("readWorkflowRef() takes UUIDs, hex digits and, in the binary header, base64", () => {
  expect(readWorkflowRef(id, false)).toBe(id);
  expect(readWorkflowRef("00112233-4455-6677-8899-AABBCCDDEEFF", false)).toBe(id);
  const text = Uint8Array.fromHex(id).toBase64();
  expect(readWorkflowRef(text, true)).toBe(id);
  expect(readWorkflowRef(text.replaceAll("=", ""), true)).toBe(id);
});

test("readWorkflowRef() takes nothing else", () => {
  const text = Uint8Array.fromHex(id).toBase64();
  for (const bad of ["", id.slice(1), `${id}0`, `${id.slice(1)}g`, "-".repeat(36), `{${id}}`, text])
    expect(readWorkflowRef(bad, false)).toBeUndefined();
  for (const bad of ["", id, text.slice(1), `${text}=`, Uint8Array.fromHex(`${id}00`).toBase64()])
    expect(readWorkflowRef(bad, true)).toBeUndefined();
});
