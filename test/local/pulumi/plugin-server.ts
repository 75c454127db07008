// The server of a provider plugin: what pulumi starts, asks by gRPC, and ends. `provider.main` of @pulumi/pulumi would
// do for small providers, but passes on neither configuration, nor old inputs, nor previews, nor detailed diffs.
// https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto
import * as grpc from "@grpc/grpc-js";
import engineRpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import enginePb from "@pulumi/pulumi/proto/engine_pb.js";
import providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { handlersOf, type Call } from "./plugin-calls.ts";
import type { Plugin } from "./plugin.ts";
import { toServiceError } from "./plugin-errors.ts";

/** The engine sets no bound to a message either (rpcutil.GrpcChannelOptions). */
const unbounded = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** How long a call may take to end when the plugin is to end, in milliseconds: what AWS did should still be told. */
const patience = 10_000;

/** Serves a plugin until the engine cancels it or ends. Writes the port to standard output, and nothing else ever. */
export async function servePlugin<Session>(plugin: Plugin<Session>): Promise<void> {
  const server = new grpc.Server(unbounded);
  const engine = engineClient(process.argv[2]);
  const end = (): void => {
    server.tryShutdown(() => process.exit(0));
    setTimeout(() => process.exit(0), patience).unref();
  };
  const calls = handlersOf(plugin, { log: engine, cancel: () => setImmediate(end) });
  server.addService(
    providerRpc.ResourceProviderService,
    Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, unary(call)])),
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, end);
  endWithParent();
  const port = await bind(server);
  process.stdout.write(`${String(port)}\n`);
}

/** One call's handler: errors become gRPC statuses. */
const unary =
  (call: Call): grpc.handleUnaryCall<unknown, unknown> =>
  ({ request }, callback) => {
    call(request as never).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toServiceError(error)),
    );
  };

/** The engine kills its plugins; one that was killed itself cannot. */
function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(0);
  }, 1_000).unref();
}

const bind = async (server: grpc.Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });

/** Shows a message to whoever runs pulumi, beside a resource where a URN is given. */
export type EngineLog = (severity: "debug" | "info" | "warning" | "error", message: string, urn?: string) => void;

/** The engine's log. Nothing depends on the arrival of a message. */
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
