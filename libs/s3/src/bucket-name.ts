/** Which names a bucket may have: "General purpose bucket naming rules" of the Amazon S3 User Guide. */
const allowed = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const ipv4Like = /^[0-9]{1,3}(\.[0-9]{1,3}){3}$/;
const reservedPrefixes = ["xn--", "sthree-", "amzn-s3-demo-"] as const;
const reservedSuffixes = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"] as const;

/** 3 to 63 lower-case letters, digits, dots and hyphens; no address, no doubled dot, no hyphen beside a dot, none of AWS's reserved ends. */
export function isBucketName(name: string): boolean {
  if (good.has(name)) return true;
  if (!isGood(name)) return false;
  if (good.size >= goodCountMax) good.clear();
  good.add(name);
  return true;
}
/** Names that were looked at of late: requests come with the same few. */
const good = new Set<string>();
const goodCountMax = 1024;

function isGood(name: string): boolean {
  return (
    allowed.test(name) &&
    // A label of a virtual-host name neither begins nor ends with a hyphen (RFC 1123 §2.1).
    !/\.[.-]|-\./.test(name) &&
    !ipv4Like.test(name) &&
    !reservedPrefixes.some((prefix) => name.startsWith(prefix)) &&
    !reservedSuffixes.some((suffix) => name.endsWith(suffix))
  );
}
