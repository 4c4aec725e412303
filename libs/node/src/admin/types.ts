import type { AwsLc } from "@kiseki/aws-lc";
import type { Prng } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import type { StorageNode } from "../node/open-node.ts";
import type { ServerSettings } from "../node/open-storage.ts";

/** A certificate that a listener of this node shows. */
export interface ListenerCertificate {
  /** For people: `S3`, `RPC`. */
  readonly listener: string;
  readonly pem: string;
}

/** What administration works on. */
export interface AdminParts {
  readonly node: StorageNode;
  readonly settings: ServerSettings;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: AwsLc;
  /** Version of the programs. */
  readonly version: string;
  /** Where S3 clients go, `http://127.0.0.1:9000`. */
  readonly s3Endpoint: string;
  readonly certificates: readonly ListenerCertificate[];
}
