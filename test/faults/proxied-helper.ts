// A helper behind two proxies that inject faults: one before AWS, whose tokens live as long as the test wants, and one before
// the API server.
import type { TestContext } from "node:test";
import type { Cluster, HelperProcess } from "../support/helper-process.ts";
import { decode, type Secret } from "../support/kept-objects.ts";
import { makeParts, type Parts, type PartsOptions } from "../support/stack-parts.ts";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { Proxy } from "../support/proxy.ts";

/** Helpers of one stack behind the two proxies. */
export interface ProxiedHelper {
  /** The parts of the helper's stack. */
  readonly parts: Parts;
  /** Between the helper and AWS. */
  readonly aws: Proxy;
  /** Between the helper and the API server. */
  readonly kubernetes: Proxy;
  /** Starts a helper; `env` and `cluster` replace parts of its environment and of its way to the API server. */
  run(env?: Readonly<Record<string, string>>, cluster?: Partial<Cluster>): HelperProcess;
  /** Whether the registry accepts a password now. */
  isAccepted(password: string): Promise<boolean>;
  /** The password in a namespace's basic-auth secret. */
  login(namespace: string, name?: string): Promise<string>;
  /** Resolves with a namespace's login once it differs from `old`; rejects if the registry does not accept it. */
  waitForNewLogin(namespace: string, old: string, name?: string): Promise<string>;
  /** Stops the helpers and the proxies, and removes the stack's parts. */
  close(): Promise<void>;
}

/** In milliseconds; long, because the machine may be busy with other tests. */
export const timeout = 60_000;

/** Creates a stack's parts for these build namespaces, and the proxies. `tokenLife` is in milliseconds. */
export async function createProxiedHelper(
  namespaces: readonly string[],
  tokenLife: number,
  options: PartsOptions = {},
): Promise<ProxiedHelper> {
  const any = { address: loopback, port: 0 };
  const gateway: Gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const parts = await makeParts(namespaces, options);
  const aws = await Proxy.start({ upstream: url(gateway.api) });
  const kubernetes = await Proxy.start({ upstream: parts.options.server, ca: parts.options.ca() });
  const accepts = async (password: string): Promise<boolean> => isLoginAccepted(gateway.registry, password);
  return {
    parts,
    aws,
    kubernetes,
    run: (env = {}, cluster = {}) =>
      parts.run(
        { AWS_ENDPOINT_URL: aws.url, ...env },
        { ...parts.cluster, server: kubernetes.url, ca: kubernetes.ca, ...cluster },
      ),
    isAccepted: accepts,
    login: async (namespace, name = "ecr-creds") => passwordOf(await parts.secret(namespace, name)),
    waitForNewLogin: async (namespace, old, name = "ecr-creds") => {
      const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3D${name}`;
      const isNew = (secret: Secret): boolean => passwordOf(secret) !== old;
      const password = passwordOf(await waitForObject<Secret>(parts.options, path, isNew, timeout));
      if (!(await accepts(password))) throw new Error(`the registry does not accept the new login of ${namespace}`);
      return password;
    },
    close: async () => {
      await parts.remove();
      await Promise.all([aws.close(), kubernetes.close(), gateway.close()]);
    },
  };
}

/** Reports a fault, what held during it, and how long the recovery took that began at `since`, in ms since 1970. */
export const reportOutcome = (t: TestContext, what: string, held: string, since: number): void =>
  t.diagnostic(`outcome: ${what} | ${held} | recovered after ${String(Date.now() - since)} ms`);

/** The password in a basic-auth secret. */
export const passwordOf = ({ data }: Secret): string => decode(data["password"]);

/** Throws if a log line contains a password, in plain text or as an authorization token encodes it. */
export function assertNoPasswordLogged(lines: readonly object[], passwords: Iterable<string>): void {
  const log = JSON.stringify(lines);
  for (const password of passwords) {
    const token = Buffer.from(`AWS:${password}`).toString("base64");
    const forms = [password, token, Buffer.from(token).toString("base64")].map((form) => form.slice(6, 30));
    const found = forms.find((form) => log.includes(form));
    if (found !== undefined) throw new Error("a password is in the log");
  }
}
