// The faults that a soak injects. Each lasts some seconds.
import {
  answer,
  truncate,
  delay,
  drip,
  garble,
  hang,
  reset,
  resetAfterForward,
  silence,
  type Exchange,
  kubernetesStatus,
  type Fault,
} from "../support/fault.ts";
import type { RequestMatcher, Proxy } from "../support/proxy.ts";

/** The server whose connection a fault affects. */
export type Side = "ecr" | "kubernetes";
/** The proxy in front of each server. */
export type Proxies = Readonly<Record<Side, Proxy>>;

/** A fault of the connection to one server. */
export interface FaultKind {
  readonly name: string;
  readonly side: Side;
  /** Injects the fault, and resolves with a function that ends it. */
  readonly begin: (proxies: Proxies) => Promise<() => Promise<void>>;
}

const all: RequestMatcher = () => true;
const isWatch: RequestMatcher = ({ path }) => path.includes("watch=1");
const isWrite: RequestMatcher = ({ method, path }) =>
  method === "PATCH" || (method === "PUT" && path.includes("/secrets/"));

/** A fault of every matching request. Its end aborts the open requests: a response that hangs or drips would outlast it. */
const requestFault = (side: Side, name: string, fault: Fault, matches = all): FaultKind => ({
  name,
  side,
  begin: async (proxies) => {
    const open = new Set<Exchange>();
    const injected = proxies[side].inject(matches, async (exchange) => {
      open.add(exchange);
      exchange.outgoing.once("close", () => open.delete(exchange));
      await fault(exchange);
    });
    return Promise.resolve(async () => {
      injected.lift();
      for (const { outgoing } of open) outgoing.destroy();
      return Promise.resolve();
    });
  },
});

/** Nothing listens. A declared outage, which is longer than a token lives, is also of this kind. */
export const unreachable = (side: Side): FaultKind => ({
  name: "refuses connections",
  side,
  begin: async (proxies) => {
    await proxies[side].stopListening();
    return async () => proxies[side].listen();
  },
});

/** A fault of watches: `toOpen` is applied to the open ones when it starts, `toNew` to every later one. */
const watchFault = (name: string, toOpen: (exchange: Exchange) => void, toNew: Fault): FaultKind => {
  const ofNewWatches = requestFault("kubernetes", name, toNew, isWatch);
  return {
    ...ofNewWatches,
    begin: async (proxies) => {
      const open = proxies.kubernetes.openExchanges(isWatch);
      const lift = await ofNewWatches.begin(proxies);
      open.forEach(toOpen);
      return async () => {
        await lift();
        for (const { outgoing } of open) outgoing.destroy();
      };
    },
  };
};

const aws = (status: number, type: string, headers = {}): Fault =>
  answer(status, { __type: type, message: "the soak" }, { "content-type": "application/x-amz-json-1.1", ...headers });
const tokens = (authorizationData: object[]): Fault => answer(200, { authorizationData });
const end: Fault = async ({ outgoing }) => {
  outgoing.writeHead(200, { "content-type": "application/json" }).end();
  return Promise.resolve();
};

/** All faults that a soak chooses from. */
export const faultKinds: readonly FaultKind[] = [
  unreachable("ecr"),
  requestFault("ecr", "hangs", hang),
  requestFault("ecr", "resets", reset),
  requestFault("ecr", "resets after the work", resetAfterForward),
  requestFault("ecr", "is cut off", truncate(40)),
  requestFault("ecr", "is no HTTP", garble),
  requestFault("ecr", "400", aws(400, "InvalidParameterException")),
  requestFault("ecr", "403", aws(403, "AccessDeniedException")),
  requestFault("ecr", "429 with Retry-After", aws(429, "ThrottlingException", { "retry-after": "2" })),
  requestFault("ecr", "500", aws(500, "ServerException")),
  requestFault("ecr", "503", aws(503, "ServiceUnavailable")),
  requestFault("ecr", "HTML", answer(200, "<html>a portal</html>")),
  requestFault("ecr", "an empty list", tokens([])),
  requestFault("ecr", "a malformed token", tokens([{ authorizationToken: "%%%", expiresAt: Date.now() }])),
  requestFault("ecr", "is slow", delay(1_500)),
  unreachable("kubernetes"),
  requestFault("kubernetes", "resets", reset),
  requestFault("kubernetes", "resets after the work", resetAfterForward, isWrite),
  requestFault("kubernetes", "is cut off", truncate(100)),
  requestFault("kubernetes", "401", kubernetesStatus(401, "Unauthorized")),
  requestFault("kubernetes", "409 for every write", kubernetesStatus(409, "Conflict"), isWrite),
  requestFault("kubernetes", "429 with Retry-After", kubernetesStatus(429, "TooManyRequests", { "retry-after": "2" })),
  requestFault("kubernetes", "500", kubernetesStatus(500, "InternalError")),
  requestFault("kubernetes", "503 for every write", kubernetesStatus(503, "ServiceUnavailable"), isWrite),
  requestFault("kubernetes", "HTML", answer(200, "<html>a portal</html>")),
  requestFault("kubernetes", "is slow", delay(1_500)),
  requestFault("kubernetes", "drips", drip(200, 10)),
  watchFault("watches are silent", (exchange) => (exchange.isMuted = true), silence),
  watchFault("watches are closed at once", ({ outgoing }) => outgoing.end(), end),
];
