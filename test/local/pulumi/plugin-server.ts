// The gRPC server of a provider plugin, which pulumi starts and stops. `provider.main` of @pulumi/pulumi is not enough: it passes on
// neither configuration, nor old inputs, nor previews, nor detailed diffs.
// https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto
import * as grpc from "@grpc/grpc-js";
import engineRpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import enginePb from "@pulumi/pulumi/proto/engine_pb.js";
import providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { serve, unary } from "./grpc.ts";
import { pluginHandlers, type EngineLog } from "./plugin-calls.ts";
import type { Plugin } from "./plugin.ts";
import { toServiceError } from "./plugin-errors.ts";

/** Serves a plugin until the engine cancels it or ends. */
export async function servePlugin<Session>(plugin: Plugin<Session>): Promise<void> {
  const engine = engineClient(process.argv[2]);
  // Deferred, so that the call that cancels gets its response first.
  const cancel = (): void => void setImmediate(() => void served.then((end) => end()));
  const calls = Object.entries(pluginHandlers(plugin, { log: engine, cancel }));
  const handlers = calls.map(([name, call]) => [
    name,
    unary(call as (request: unknown) => Promise<unknown>, toServiceError),
  ]);
  const served = serve(
    providerRpc.ResourceProviderService,
    Object.fromEntries(handlers) as grpc.UntypedServiceImplementation,
  );
  await served;
}

/** The engine's log. Failures to deliver a message are ignored. */
function engineClient(address: string | undefined): EngineLog {
  if (address === undefined || address === "") return () => undefined;
  const client = new engineRpc.EngineClient(address, grpc.credentials.createInsecure());
  const { DEBUG: debug, INFO: info, WARNING: warning, ERROR: error } = enginePb.LogSeverity;
  const severities = { debug, info, warning, error };
  return (severity, message, urn = "") => {
    const request = new enginePb.LogRequest();
    request.setSeverity(severities[severity]);
    request.setMessage(message);
    request.setUrn(urn);
    client.log(request, () => undefined);
  };
}
