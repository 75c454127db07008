// A gRPC service as Pulumi's engine starts it: a process that tells its port on its first line of output.
import * as grpc from "@grpc/grpc-js";

/**
 * Serves one service on a free port of loopback, which is then printed: the engine reads it there. Ends at SIGTERM and SIGINT.
 * Nothing else may go to standard output: https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/plugin/plugin.go
 */
export async function serve(
  service: grpc.ServiceDefinition,
  implementation: grpc.UntypedServiceImplementation,
): Promise<void> {
  // What the engine takes, too: the state of a resource may be large.
  const limit = 400 << 20;
  const server = new grpc.Server({ "grpc.max_receive_message_length": limit, "grpc.max_send_message_length": limit });
  server.addService(service, implementation);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  process.stdout.write(`${String(port)}\n`);
}

/** A handler of a unary call, from a function that gives the answer or rejects with what the engine is to show. */
export const unary =
  <Request, Response>(answer: (request: Request) => Promise<Response>): grpc.handleUnaryCall<Request, Response> =>
  ({ request }, callback) =>
    void answer(request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(asServiceError(error)),
    );

/** What has a gRPC code is passed on with its details; anything else is an error of no known kind. */
function asServiceError(error: unknown): Partial<grpc.ServiceError> {
  const { message } = error instanceof Error ? error : new Error(String(error));
  return { code: grpc.status.UNKNOWN, details: message, ...(typeof error === "object" ? error : {}), message };
}
