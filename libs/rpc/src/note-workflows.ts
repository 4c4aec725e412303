import type { Interceptor } from "@connectrpc/connect";
import { workflowBinaryHeader, workflowHeader } from "@kiseki/advisory";
import { DataService } from "./gen/kiseki/v1/data_pb.ts";
import { FileService } from "./gen/kiseki/v1/file_pb.ts";
import { type Peer, peerKey } from "./peer.ts";

const dataPath: ReadonlySet<string> = new Set([FileService.typeName, DataService.typeName]);

/** Tells `onWorkflow` what calls of the data path say of their workflow; nothing of the call hangs on it. */
export function noteWorkflows(
  onWorkflow: (ref: string, isBinary: boolean, peer: Peer) => void,
): Interceptor {
  return (next) => (request) => {
    const { header } = request;
    const binary = header.get(workflowBinaryHeader);
    const text = binary ?? header.get(workflowHeader);
    if (text !== null && dataPath.has(request.service.typeName))
      onWorkflow(text, binary !== null, request.contextValues.get(peerKey));
    return next(request);
  };
}
