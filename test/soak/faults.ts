// The faults of a soak: each is begun, lasts some seconds, and is ended.
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
  type Fault,
} from "../support/fault.ts";
import type { RequestMatcher, Proxy } from "../support/proxy.ts";

export type Side = "ecr" | "kubernetes";
export type Proxies = Readonly<Record<Side, Proxy>>;

export interface FaultKind {
  readonly name: string;
  readonly side: Side;
  /** Puts the fault in, and gives what ends it. */
  readonly begin: (proxies: Proxies) => Promise<() => Promise<void>>;
}

const all: RequestMatcher = () => true;
const isWatch: RequestMatcher = ({ path }) => path.includes("watch=1");
const isWrite: RequestMatcher = ({ method }) => method === "PATCH";

/** What a fault still holds when it is ended is broken off: an answer that hangs or drips would outlast it. */
const put = (side: Side, name: string, fault: Fault, matches = all): FaultKind => ({
  name,
  side,
  begin: async (proxies) => {
    const held = new Set<Exchange>();
    const outage = proxies[side].inject(matches, async (exchange) => {
      held.add(exchange);
      exchange.outgoing.once("close", () => held.delete(exchange));
      await fault(exchange);
    });
    return Promise.resolve(async () => {
      outage.lift();
      for (const { outgoing } of held) outgoing.destroy();
      return Promise.resolve();
    });
  },
});

/** Nobody listens: also what an outage is that is longer than a token's life. */
export const unreachable = (side: Side): FaultKind => ({
  name: "refuses connections",
  side,
  begin: async (proxies) => {
    await proxies[side].stopListening();
    return async () => proxies[side].listen();
  },
});

/** First what is done to the watches there are, and then to every new one. */
const watches = (name: string, toOpen: (exchange: Exchange) => void, toNew: Fault): FaultKind => {
  const further = put("kubernetes", name, toNew, isWatch);
  return {
    ...further,
    begin: async (proxies) => {
      const open = proxies.kubernetes.openExchanges(isWatch);
      const lift = await further.begin(proxies);
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
const kube = (code: number, reason: string, headers = {}): Fault =>
  answer(code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: "the soak" }, headers);
const end: Fault = async ({ outgoing }) => {
  outgoing.writeHead(200, { "content-type": "application/json" }).end();
  return Promise.resolve();
};

export const faultKinds: readonly FaultKind[] = [
  unreachable("ecr"),
  put("ecr", "hangs", hang),
  put("ecr", "resets", reset),
  put("ecr", "resets after the work", resetAfterForward),
  put("ecr", "is cut off", truncate(40)),
  put("ecr", "is no HTTP", garble),
  put("ecr", "400", aws(400, "InvalidParameterException")),
  put("ecr", "403", aws(403, "AccessDeniedException")),
  put("ecr", "429 with Retry-After", aws(429, "ThrottlingException", { "retry-after": "2" })),
  put("ecr", "500", aws(500, "ServerException")),
  put("ecr", "503", aws(503, "ServiceUnavailable")),
  put("ecr", "HTML", answer(200, "<html>a portal</html>")),
  put("ecr", "an empty list", tokens([])),
  put("ecr", "a malformed token", tokens([{ authorizationToken: "%%%", expiresAt: Date.now() }])),
  put("ecr", "is slow", delay(1_500)),
  unreachable("kubernetes"),
  put("kubernetes", "resets", reset),
  put("kubernetes", "resets after the work", resetAfterForward, isWrite),
  put("kubernetes", "is cut off", truncate(100)),
  put("kubernetes", "401", kube(401, "Unauthorized")),
  put("kubernetes", "409 for every write", kube(409, "Conflict"), isWrite),
  put("kubernetes", "429 with Retry-After", kube(429, "TooManyRequests", { "retry-after": "2" })),
  put("kubernetes", "500", kube(500, "InternalError")),
  put("kubernetes", "503 for every write", kube(503, "ServiceUnavailable"), isWrite),
  put("kubernetes", "HTML", answer(200, "<html>a portal</html>")),
  put("kubernetes", "is slow", delay(1_500)),
  put("kubernetes", "drips", drip(200, 10)),
  watches("watches are silent", (exchange) => (exchange.isMuted = true), silence),
  watches("watches are closed at once", ({ outgoing }) => outgoing.end(), end),
];
