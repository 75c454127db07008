// The servers that a soak's helper uses: a gateway with short-lived tokens, and proxies that inject faults.
import type { Parts } from "../support/stack-parts.ts";
import { startGateway } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { rewrite } from "../support/fault.ts";
import { Proxy } from "../support/proxy.ts";
import type { Proxies } from "./faults.ts";

/** The proxies of a soak, and the gateway behind some of them. */
export interface FaultProxies {
  /** Those of each helper. */
  readonly proxies: readonly Proxies[];
  /** The password that ECR issued last, and when, in milliseconds since 1970; an empty one before the first. */
  readonly lastToken: () => { password: string; at: number };
  /** Whether the registry accepts a password now. */
  readonly accepts: (password: string) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

/** Starts a gateway whose tokens are valid for `tokenLife` milliseconds, and the proxies. */
export async function startFaultProxies({ options }: Parts, tokenLife: number): Promise<FaultProxies> {
  const any = { address: loopback, port: 0 };
  const gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  // Behind the faults, so that it records every token that ECR issues, whether it reaches the helper or not.
  const recorder = await Proxy.start({ upstream: url(gateway.api) });
  let latest = { password: "", at: 0 };
  const recordToken = rewrite((body) => {
    const { authorizationData = [] } = body as { authorizationData?: { authorizationToken: string }[] };
    for (const { authorizationToken } of authorizationData) {
      const [, password = ""] = Buffer.from(authorizationToken, "base64").toString().split(":");
      latest = { password, at: Date.now() };
    }
    return body;
  });
  recorder.inject(() => true, recordToken);
  const makeProxies = async (): Promise<Proxies> => ({
    ecr: await Proxy.start({ upstream: recorder.url }),
    kubernetes: await Proxy.start({ upstream: options.server, ca: options.ca() }),
  });
  const proxies = [await makeProxies(), await makeProxies()];
  return {
    proxies,
    lastToken: () => latest,
    accepts: async (password) => isLoginAccepted(gateway.registry, password),
    close: async () => {
      await Promise.all(proxies.flatMap(({ ecr, kubernetes }) => [ecr.close(), kubernetes.close()]));
      await recorder.close();
      await gateway.close();
    },
  };
}
