/** What a client's certificate says of whose it is. Its authority's word; the handshake has checked it. */
export interface CertificateNames {
  /** Units (OU) of the subject. */
  readonly units: readonly string[];
  /** URI alternative names. */
  readonly uris: readonly string[];
}

const unitPrefix = "tenant-";
/** `spiffe://domain/tenant/<tenant>/…`; older ones say `org`. */
const tenantUri = /^spiffe:\/\/[^/]+\/(?:tenant|org)\/([A-Za-z0-9._-]{1,255})(?:\/|$)/;

/**
 * The tenant that a certificate names, by SPIFFE id or unit `tenant-<tenant>` (spec §10.1). `undefined`: none, or more
 * than one; nothing is made up from a fingerprint.
 */
export function tenantOfCertificate({ units, uris }: CertificateNames): string | undefined {
  const named = new Set<string>();
  for (const uri of uris) {
    const tenant = tenantUri.exec(uri)?.[1];
    if (tenant !== undefined) named.add(tenant);
  }
  for (const unit of units) {
    if (unit.startsWith(unitPrefix) && unit.length > unitPrefix.length) {
      named.add(unit.slice(unitPrefix.length));
    }
  }
  const [tenant] = named;
  return named.size === 1 ? tenant : undefined;
}
