/** Who pays for requests and transfer. */
import { s3Fault } from "../errors.ts";
import { readXml } from "../xml-read.ts";
import { s3Namespace, writeXml } from "../xml-write.ts";
import { defineSetting } from "./bucket-setting.ts";

interface RequestPayment {
  readonly payer: "BucketOwner" | "Requester";
}
const isPayer = (text: unknown): text is RequestPayment["payer"] =>
  text === "BucketOwner" || text === "Requester";

export const requestPaymentSetting = defineSetting<RequestPayment>({
  subresource: "requestPayment",
  stored: "request-payment",
  documentSizeMax: 4096,
  isRemovable: false,
  unset: { config: { payer: "BucketOwner" } },
  parse(document) {
    const root = readXml(document, 16);
    const [child, ...others] = root?.children ?? [];
    const payer = child?.name === "Payer" ? child.text.trim() : undefined;
    const isWhole = root?.name === "RequestPaymentConfiguration" && others.length === 0;
    return isWhole && isPayer(payer) ? { payer } : s3Fault("MalformedXML");
  },
  format: ({ payer }) => writeXml("RequestPaymentConfiguration", s3Namespace, [["Payer", payer]]),
  read: ({ payer }) => (isPayer(payer) ? { payer } : undefined),
});
