import { type AwsLc, openAwsLc } from "@kiseki/aws-lc";

/** Where `scripts/native` puts the shared objects, seen from the sources. */
export const nativeDirectory = `${import.meta.dir}/../../../build/native`;

/** The Crypto port on AWS-LC. @throws {Error} when `scripts/native` has not run. */
export const openCrypto = (directory: string = nativeDirectory): AwsLc => openAwsLc(directory);
