/** What is kept of each setting outlives the program that wrote it. Append only: an edited row is a broken upgrade. */
import { expect, test } from "bun:test";
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { encodeNoOwnership, encodeOwnership, ownershipSetting } from "./ownership.ts";
import { findBucketSetting } from "./registry.ts";

const golden: readonly (readonly [subresource: string, document: string, kept: string])[] = [
  [
    "tagging",
    "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    '{"version":1,"tagSet":{"tags":[{"key":"a","value":"b"}]}}',
  ],
  [
    "cors",
    "<CORSConfiguration><CORSRule><ID>i</ID><AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://*.a</AllowedOrigin><AllowedHeader>x-*</AllowedHeader><MaxAgeSeconds>9</MaxAgeSeconds><ExposeHeader>ETag</ExposeHeader></CORSRule><CORSRule><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
    '{"version":1,"rules":[{"id":"i","allowedMethods":["GET"],"allowedOrigins":["http://*.a"],"allowedHeaders":["x-*"],"maxAgeSeconds":9,"exposeHeaders":["ETag"]},{"allowedMethods":["PUT"],"allowedOrigins":["*"],"allowedHeaders":[],"exposeHeaders":[]}]}',
  ],
  [
    "lifecycle",
    "<LifecycleConfiguration><Rule><ID>a</ID><Expiration><Days>3</Days></Expiration><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule><Rule><Prefix>old/</Prefix><Status>Disabled</Status><Expiration><Date>2030-01-01</Date></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule><Rule><Filter><Tag><Key>k</Key><Value/></Tag></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    '{"version":1,"rules":[{"expiration":{"days":3},"id":"a","filter":{"and":{"prefix":"p","tags":[{"key":"k","value":"v"}],"sizeGreaterThan":5,"sizeLessThan":9}},"status":"Enabled","transitions":[],"noncurrentTransitions":[],"noncurrentExpiration":{"days":1,"newerVersions":2}},{"expiration":{"date":"2030-01-01T00:00:00.000Z"},"prefix":"old/","status":"Disabled","transitions":[],"noncurrentTransitions":[],"abortUploads":{"days":7},"id":"rule-1"},{"expiration":{"days":1},"filter":{"tag":{"key":"k","value":""}},"status":"Enabled","transitions":[],"noncurrentTransitions":[],"id":"rule-2"}]}',
  ],
  [
    "lifecycle",
    "<LifecycleConfiguration><Rule><ID>a</ID><Filter/><Status>Enabled</Status><Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition><NoncurrentVersionTransition><NoncurrentDays>2</NoncurrentDays><StorageClass>GLACIER_IR</StorageClass><NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionTransition></Rule><Rule><ID>b</ID><Filter/><Status>Enabled</Status><Transition><Date>2030-01-01</Date><StorageClass>GLACIER_IR</StorageClass></Transition></Rule></LifecycleConfiguration>",
    '{"version":1,"rules":[{"id":"a","filter":{},"status":"Enabled","transitions":[{"days":30,"storageClass":"STANDARD_IA"}],"noncurrentTransitions":[{"days":2,"storageClass":"GLACIER_IR","newerVersions":3}]},{"id":"b","filter":{},"status":"Enabled","transitions":[{"date":"2030-01-01T00:00:00.000Z","storageClass":"GLACIER_IR"}],"noncurrentTransitions":[]}]}',
  ],
  [
    "website",
    "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><ErrorDocument><Key>e</Key></ErrorDocument><RoutingRules><RoutingRule><Condition><KeyPrefixEquals>d/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect><Protocol>https</Protocol><HostName>a.b</HostName><ReplaceKeyPrefixWith>e/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>",
    '{"version":1,"index":{"suffix":"i"},"error":{"key":"e"},"routing":{"rules":[{"condition":{"keyPrefixEquals":"d/","errorCodeEquals":404},"redirect":{"protocol":"https","hostName":"a.b","replaceKeyPrefixWith":"e/","httpRedirectCode":302}}]}}',
  ],
  [
    "website",
    "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>a.b</HostName><Protocol>https</Protocol></RedirectAllRequestsTo></WebsiteConfiguration>",
    '{"version":1,"redirectAll":{"hostName":"a.b","protocol":"https"}}',
  ],
  [
    "requestPayment",
    "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
    '{"version":1,"payer":"Requester"}',
  ],
  [
    "publicAccessBlock",
    "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>",
    '{"version":1,"blockPublicAcls":true,"ignorePublicAcls":false,"blockPublicPolicy":false,"restrictPublicBuckets":false}',
  ],
];

test("ownership controls are kept in the bytes that they always were, taken away too", () => {
  expect(fromUtf8(encodeOwnership("ObjectWriter"))).toBe(
    '{"version":1,"ownership":"ObjectWriter"}',
  );
  expect(fromUtf8(encodeNoOwnership())).toBe('{"version":1,"ownership":null}');
  expect(ownershipSetting.decode(encodeNoOwnership())).toEqual({ ownership: undefined });
});

test.each(golden)(
  "a %s document %.40s is kept in the bytes that it always was",
  (name, document, kept) => {
    const setting = findBucketSetting(name)!;
    expect(fromUtf8(setting.store(toUtf8(document)) as Uint8Array)).toBe(kept);
    const shown = setting.show(toUtf8(kept)) as Uint8Array;
    expect(setting.decode(setting.store(shown) as Uint8Array)).toEqual(
      setting.decode(toUtf8(kept)),
    );
  },
);
