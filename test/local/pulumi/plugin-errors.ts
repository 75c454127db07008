// Converts errors into gRPC statuses for the engine.
import * as grpc from "@grpc/grpc-js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import anyPb from "google-protobuf/google/protobuf/any_pb.js";
import structPb from "google-protobuf/google/protobuf/struct_pb.js";
import { InitFailedError } from "./resource-type.ts";
import type { Properties } from "./values.ts";

/** A call that the plugin does not implement. */
export class UnimplementedError extends Error {}

/** Properties as a protobuf message. */
export const toStruct = (properties: Properties): structPb.Struct =>
  structPb.Struct.fromJavaScript(properties as Record<string, structPb.JavaScriptValue>);

/** The gRPC status of an error. That of an InitFailedError contains the created resource, so that the engine keeps it in the state. */
export function toServiceError(error: unknown): Partial<grpc.StatusObject> {
  const details = error instanceof Error ? error.message : String(error);
  if (error instanceof UnimplementedError) return { code: grpc.status.UNIMPLEMENTED, details };
  if (!(error instanceof InitFailedError)) return { code: grpc.status.UNKNOWN, details };
  return { code: grpc.status.UNKNOWN, details, metadata: initFailure(error, details) };
}

/** parseInitError in sdk/go/common/resource/plugin/provider_plugin.go reads it. */
function initFailure({ live }: InitFailedError, message: string): grpc.Metadata {
  const failure = new providerPb.ErrorResourceInitFailed();
  failure.setId(live.id);
  failure.setProperties(toStruct(live.outputs));
  failure.setInputs(toStruct(live.inputs));
  failure.setReasonsList([message]);
  const any = new anyPb.Any();
  any.pack(failure.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
  const status = new statusPb.Status();
  status.setCode(grpc.status.UNKNOWN);
  status.setMessage(message);
  status.setDetailsList([any]);
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.serializeBinary()));
  return metadata;
}
