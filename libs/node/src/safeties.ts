/**
 * Rules that the simulator may switch off one by one to see that its checkers find what follows.
 * All are true in production.
 */
export interface NodeSafeties {
  /** An operation is answered only after its batch is committed. */
  readonly commitBeforeAnswer: boolean;
  /** The collector leaves alone what an operation under way counts on. */
  readonly honourPins: boolean;
  /** The collector waits until everybody has left who may still read a condemned seal. */
  readonly waitForReaders: boolean;
  /** A shard file that is behind the epoch that its devices remember is refused. */
  readonly checkShardEpoch: boolean;
}
export const allNodeSafeties: NodeSafeties = {
  commitBeforeAnswer: true,
  honourPins: true,
  waitForReaders: true,
  checkShardEpoch: true,
};
