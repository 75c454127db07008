// What a soak puts between the helper and what it depends on: a gateway of its own, whose tokens are short, and proxies for faults.
import type { Parts } from "../support/stack-parts.ts";
import { startGateway } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { rewrite } from "../support/fault.ts";
import { Proxy } from "../support/proxy.ts";
import type { Proxies } from "./faults.ts";

/** What is between the helper and what it depends on. */
export interface FaultProxies {
  readonly proxies: Proxies;
  readonly lastToken: () => { password: string; at: number };
  readonly accepts: (password: string) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

export async function startFaultProxies({ options }: Parts, tokenLife: number): Promise<FaultProxies> {
  const any = { address: loopback, port: 0 };
  const gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  // Behind the faults, so that it sees what ECR gave and not what came of it.
  const issuer = await Proxy.start({ upstream: url(gateway.api) });
  let latest = { password: "", at: 0 };
  const note = rewrite((body) => {
    const { authorizationData = [] } = body as { authorizationData?: { authorizationToken: string }[] };
    for (const { authorizationToken } of authorizationData) {
      const [, password = ""] = Buffer.from(authorizationToken, "base64").toString().split(":");
      latest = { password, at: Date.now() };
    }
    return body;
  });
  issuer.inject(() => true, note);
  const [ecr, kubernetes] = [
    await Proxy.start({ upstream: issuer.url }),
    await Proxy.start({ upstream: options.server, ca: options.ca }),
  ];
  return {
    proxies: { ecr, kubernetes },
    lastToken: () => latest,
    accepts: async (password) => isLoginAccepted(gateway.registry, password),
    close: async () => {
      await Promise.all([ecr.close(), kubernetes.close()]);
      await issuer.close();
      await gateway.close();
    },
  };
}
