/**
 * Every way a request's framing can be wrong, with the status to answer. After any of them the
 * connection's bytes mean nothing: answer and close.
 */
export const httpFaultStatus = {
  bad_request_line: 400,
  bad_method: 400,
  bad_target: 400,
  target_too_large: 414,
  bad_version: 400,
  unsupported_version: 505,
  head_too_large: 431,
  too_many_headers: 431,
  bad_header_name: 400,
  /** A control byte, NUL or DEL in a value. */
  bad_header_value: 400,
  /** obs-fold: a header line that begins with a space or tab. */
  folded_header: 400,
  space_before_colon: 400,
  /** CR without LF, or LF without CR. */
  bare_line_end: 400,
  missing_host: 400,
  duplicate_host: 400,
  bad_host: 400,
  bad_content_length: 400,
  duplicate_content_length: 400,
  length_with_transfer_encoding: 400,
  /** Transfer-Encoding other than exactly `chunked`, or sent twice, or in HTTP/1.0. */
  unsupported_transfer_encoding: 501,
  unsupported_expectation: 417,
  body_too_large: 413,
  bad_chunk_size: 400,
  chunk_extension_too_large: 400,
  bad_chunk_end: 400,
  bad_trailer: 400,
  trailer_too_large: 431,
} as const satisfies Record<string, number>;

export type HttpFaultCode = keyof typeof httpFaultStatus;
