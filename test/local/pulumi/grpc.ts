// A gRPC service as pulumi starts it: a process that writes its port on its first line of output, and ends with its parent.
// https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/plugin/plugin.go
import * as grpc from "@grpc/grpc-js";

/** The engine does not limit the size of messages either (rpcutil.GrpcChannelOptions). */
const unlimitedMessages = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** How long running calls may take to finish at shutdown, in milliseconds, so that the engine still gets their results. */
const shutdownTimeout = 10_000;

/**
 * Serves one service on a free port of loopback and writes the port to standard output, which must have nothing else. Ends at SIGTERM,
 * at SIGINT, with its parent, or when the returned function is called.
 */
export async function serve(
  service: grpc.ServiceDefinition,
  implementation: grpc.UntypedServiceImplementation,
): Promise<() => void> {
  const server = new grpc.Server(unlimitedMessages);
  const end = (): void => {
    server.tryShutdown(() => process.exit(0));
    setTimeout(() => process.exit(0), shutdownTimeout).unref();
  };
  server.addService(service, implementation);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, end);
  endWithParent();
  const port = await bind(server);
  process.stdout.write(`${String(port)}\n`);
  return end;
}

/** The engine stops its plugins, except where it was killed itself. */
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

/** The handler of a unary call, from a function that resolves with the response. `toStatus` turns its errors into gRPC statuses. */
export const unary =
  <Request, Response>(
    answer: (request: Request) => Promise<Response>,
    toStatus: (error: unknown) => Partial<grpc.StatusObject> = statusOf,
  ): grpc.handleUnaryCall<Request, Response> =>
  ({ request }, callback) =>
    void answer(request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );

/** An error keeps its gRPC code; one without a code gets UNKNOWN. */
const statusOf = (error: unknown): Partial<grpc.StatusObject> => {
  const { message, code = grpc.status.UNKNOWN } = error as Error & { code?: grpc.status };
  return { code, details: message };
};
