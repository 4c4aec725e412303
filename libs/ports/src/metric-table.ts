/** Every metric a node shows. `docs/operations.md` lists the same table; a name that is not here is a bug. */
interface MetricRow {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram's buckets, in its unit. */
  readonly buckets?: readonly number[];
}

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export const metricTable = {
  kiseki_gateway_requests_total: {
    kind: "counter",
    help: "Requests answered",
    labels: ["method", "status"],
  },
  kiseki_gateway_request_duration_seconds: {
    kind: "histogram",
    help: "From the request's head to the end of its answer",
    labels: ["method"],
    buckets: seconds,
  },
  kiseki_gateway_get_phase_duration_seconds: {
    kind: "histogram",
    help: "Looking an object up (composition_lookup); reading and opening one stretch of it (chunk_fetch)",
    labels: ["phase"],
    buckets: seconds,
  },
  kiseki_gateway_put_phase_duration_seconds: {
    kind: "histogram",
    help: "Sealing and coding a chunk (encrypt), its way to synced devices (chunk_write), naming an object (composition_record)",
    labels: ["phase"],
    buckets: seconds,
  },
  kiseki_chunk_ec_encode_seconds: {
    kind: "histogram",
    help: "Coding the parity of one chunk, by data and parity fragments",
    labels: ["strategy"],
    buckets: [0.00005, 0.0001, 0.00025, ...seconds],
  },
  kiseki_chunk_persistent_write_phase_duration_seconds: {
    kind: "histogram",
    help: "Asking whether a chunk is stored already (dedup_check); writing one group to one device (extent_io) and syncing it (device_sync); noting a chunk's fragments (save_meta)",
    labels: ["phase"],
    buckets: [0.00001, 0.0001, ...seconds],
  },
  kiseki_native_calls_total: {
    kind: "counter",
    help: "Calls of native clients, by method and how they ended",
    labels: ["rpc", "outcome"],
  },
  kiseki_native_sessions: { kind: "gauge", help: "Sessions of native clients" },
  kiseki_bulk_frames_total: {
    kind: "counter",
    help: "Bulk frames of native clients, by kind and how they were answered",
    labels: ["kind", "status"],
  },
  kiseki_transport_connections_active: { kind: "gauge", help: "Open connections for bulk frames" },
  kiseki_transport_connections_idle: {
    kind: "gauge",
    help: "Those of them on which nothing is under way",
  },
  kiseki_chunk_write_bytes_total: { kind: "counter", help: "Plaintext bytes stored in chunks" },
  kiseki_chunk_puts_total: { kind: "counter", help: "Chunks stored" },
  kiseki_chunk_reads_lost_total: {
    kind: "counter",
    help: "Reads of chunks with too few good fragments",
  },
  kiseki_chunk_tampered_total: {
    kind: "counter",
    help: "Reads of chunks whose checksums were right and whose tags were wrong",
  },
  kiseki_device_failed_total: { kind: "counter", help: "Devices given up since the start" },
  kiseki_zones_reclaimed_total: { kind: "counter", help: "Zones that compaction emptied" },
  kiseki_chunk_read_bytes_total: { kind: "counter", help: "Plaintext bytes read from chunks" },
  kiseki_shard_commit_seconds: {
    kind: "histogram",
    help: "COMMIT of one batch on all mirrors",
    buckets: seconds,
  },
  kiseki_shard_batch_operations: {
    kind: "histogram",
    help: "Operations in one batch",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  },
  kiseki_shard_delta_count: { kind: "counter", help: "Deltas committed", labels: ["shard"] },
  kiseki_pool_capacity_total_bytes: {
    kind: "gauge",
    help: "Size of the devices",
    labels: ["pool"],
  },
  kiseki_pool_capacity_used_bytes: { kind: "gauge", help: "Bytes in use", labels: ["pool"] },
  kiseki_device_state: {
    kind: "gauge",
    help: "1 for the state that the device is in",
    labels: ["device", "state"],
  },
  kiseki_device_sync_seconds: {
    kind: "histogram",
    help: "Write and sync of one group on one device",
    buckets: seconds,
  },
  kiseki_fragment_faults_total: {
    kind: "counter",
    help: "Fragments found bad: io, header, crc; tag: tampering",
    labels: ["fault"],
  },
  kiseki_chunk_repairs_total: { kind: "counter", help: "Chunks completed by repair" },
  kiseki_lifecycle_looked_total: {
    kind: "counter",
    help: "Versions, delete markers and uploads that lifecycle rules were held against",
  },
  kiseki_lifecycle_actions_total: {
    kind: "counter",
    help: "What lifecycle rules came to: expired, removed, aborted, moved; changed, held or skipped, and left alone",
    labels: ["action"],
  },
  kiseki_chunks_collected_total: { kind: "counter", help: "Seals deleted by garbage collection" },
  kiseki_chunks_resealed_total: {
    kind: "counter",
    help: "Seals replaced by one of the tenant's newest keyset",
  },
  kiseki_chunks_widened_total: {
    kind: "counter",
    help: "Seals replaced by one of the pool's profile, of content written while devices were out",
  },
  kiseki_file_merges_total: {
    kind: "counter",
    help: "Ranges of files in many pieces that became one piece",
  },
  kiseki_chunks_narrow: {
    kind: "gauge",
    help: "Chunks narrower than the pool's profile that could be sealed anew",
  },
  kiseki_seals_old_keyset: { kind: "gauge", help: "Seals under older keysets, as last counted" },
  kiseki_scrub_records_total: { kind: "counter", help: "Records verified by scrub" },
  kiseki_mirror_members: { kind: "gauge", help: "Members that hold every sealed file" },
  kiseki_mirror_pages_healed_total: {
    kind: "counter",
    help: "Pages taken from another member because their tag was wrong",
  },
  kiseki_key_rotation_total: { kind: "counter", help: "Rotations of masters and KEKs" },
  kiseki_crypto_shred_total: { kind: "counter", help: "KEKs destroyed" },
  kiseki_storage_admin_calls_total: {
    kind: "counter",
    help: "Administration calls ended: ok, client_error, server_error, unimplemented",
    labels: ["rpc", "outcome"],
  },
  kiseki_gateway_connections: { kind: "gauge", help: "Open connections of the S3 listener" },
  kiseki_access_log_delivered_total: {
    kind: "counter",
    help: "Lines of buckets' access logs that are in their target buckets",
  },
  kiseki_access_log_dropped_total: {
    kind: "counter",
    help: "Lines of buckets' access logs that were lost: too many waited, or the target took none",
  },
  kiseki_notifications_sent_total: {
    kind: "counter",
    help: "Events that their target took",
    labels: ["target"],
  },
  kiseki_notifications_failed_total: {
    kind: "counter",
    help: "Tries to send an event that failed",
    labels: ["target"],
  },
  kiseki_notifications_dead_total: {
    kind: "counter",
    help: "Events that their target would not take: kiseki notification dead-letters",
    labels: ["target"],
  },
  kiseki_notifications_lost_total: {
    kind: "counter",
    help: "Events dropped because too many lay aside for their target",
    labels: ["target"],
  },
  kiseki_notifications_behind: {
    kind: "gauge",
    help: "Entries of the log that a target has not passed, of the tenant that moved last",
    labels: ["target"],
  },
  kiseki_requests_limited_total: {
    kind: "counter",
    help: "Requests refused by a limit of their access key: requests, bytes, at_once",
    labels: ["limit"],
  },
  kiseki_workflow_refs_total: {
    kind: "counter",
    help: "Requests of the data path that name a workflow: known, unknown (to their tenant) or malformed",
    labels: ["protocol", "result"],
  },
  kiseki_advisory_calls_total: {
    kind: "counter",
    help: "Calls of the advisory service, by method and how they ended",
    labels: ["rpc", "outcome"],
  },
  kiseki_advisory_workflows: { kind: "gauge", help: "Workflows declared and not ended" },
  kiseki_data_path_blocked_on_advisory_total: {
    kind: "counter",
    help: "Requests of the data path whose workflow could not be looked up at once; they went on without. Always 0",
  },
  kiseki_auth_failures_total: { kind: "counter", help: "Requests refused", labels: ["code"] },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof metricTable;
