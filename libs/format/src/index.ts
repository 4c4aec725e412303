/**
 * Bytes that outlive a process: one file per format, each with golden samples beside it and a page
 * in `docs/formats/`. Every format has a version; an unknown one is a fault, never a guess.
 *
 * Decoders are bounded: each size is checked against its limit and its source before it is used,
 * and nothing is allocated by an outsider's word. They answer a value or a named fault and throw
 * nothing. What they return aliases the source unless its comment says otherwise. Encoders assert:
 * a value that does not fit is our own bug. Nothing here knows keys, clocks or chance; sealing and
 * checking of tags and MACs is done by the libs above.
 */
export type {
  ChunkRef,
  DecodedDelta,
  DeltaContent,
  DeltaFault,
  DeltaHeader,
  DeltaStamp,
  Hlc,
} from "./delta.ts";
export {
  chunkRefSize,
  decodeDelta,
  deltaAad,
  deltaChunkRefsMax,
  deltaHeaderSize,
  deltaNonceSize,
  deltaPayloadSizeMax,
  deltaSealOverhead,
  deltaSize,
  deltaSizeMax,
  encodeDeltaHeader,
} from "./delta.ts";
export type { DecodedLogEntry, LogEntryFault, LogEntryHead, LogEntryKind } from "./log-entry.ts";
export {
  decodeLogEntry,
  decodeLogEntryHead,
  encodeLogEntryHead,
  logEntryBodySizeMax,
  logEntryDeltasMax,
  logEntryHeadSize,
  logEntryMacSize,
} from "./log-entry.ts";
