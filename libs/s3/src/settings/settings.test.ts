/** Goal: what is kept of a setting is read back as it was set, and nothing else is read. Method: every setting's own documents, and damage. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { isFault } from "../errors.ts";
import { defineSetting, encodeConfig, SettingError } from "./bucket-setting.ts";
import { requestPaymentSetting } from "./request-payment.ts";

const flag = defineSetting<{ isOn: boolean }>({
  subresource: "flag",
  stored: "website",
  documentSizeMax: 100,
  isRemovable: true,
  unset: "NoSuchWebsiteConfiguration",
  parse: (document) => ({ isOn: fromUtf8(document) === "on" }),
  format: ({ isOn }) => toUtf8(isOn ? "on" : "off"),
  read: ({ isOn }) => (typeof isOn === "boolean" ? { isOn } : undefined),
});

test("defineSetting() keeps a document as JSON with a version and shows it again", () => {
  const kept = flag.store(toUtf8("on")) as Uint8Array;
  expect(fromUtf8(kept)).toBe(`{"version":1,"isOn":true}`);
  expect(flag.show(kept)).toEqual(toUtf8("on"));
  expect(flag.decode(kept)).toEqual({ isOn: true });
  expect(flag.show(undefined)).toMatchObject({ code: "NoSuchWebsiteConfiguration" });
});
test("defineSetting() fails closed on what it did not write", () => {
  const damaged = ["", "{", "null", "1", "{}", `{"isOn":true}`, `{"version":2,"isOn":true}`];
  for (const text of [...damaged, `{"version":1,"isOn":1}`]) {
    expect(() => flag.decode(toUtf8(text))).toThrow(SettingError);
    expect(() => flag.show(toUtf8(text))).toThrow(SettingError);
  }
  expect(() => flag.decode(Uint8Array.of(0xff))).toThrow(SettingError);
  expect(flag.decode(encodeConfig({ isOn: false }))).toEqual({ isOn: false });
});
test("requestPaymentSetting takes its two payers and nothing else", () => {
  const document = (inner: string) =>
    toUtf8(`<RequestPaymentConfiguration>${inner}</RequestPaymentConfiguration>`);
  for (const payer of ["Requester", "BucketOwner"]) {
    const kept = requestPaymentSetting.store(document(`<Payer>${payer}</Payer>`));
    const shown = requestPaymentSetting.show(kept as Uint8Array);
    expect(fromUtf8(shown as Uint8Array)).toContain(`<Payer>${payer}</Payer>`);
  }
  const bad = [
    "",
    "<Payer/>",
    "<Payer>x</Payer>",
    "<Payer>Requester</Payer><A/>",
    "<A>Requester</A>",
  ];
  for (const inner of bad) {
    expect(isFault(requestPaymentSetting.store(document(inner)))).toBe(true);
  }
  expect(isFault(requestPaymentSetting.store(toUtf8("<Payer>Requester</Payer>")))).toBe(true);
});
