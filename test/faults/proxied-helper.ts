// A helper's surroundings, all of them real, with a programmable proxy before each: an ECR and a registry of its own whose
// tokens live for seconds, and the API server.
import type { Cluster, HelperProcess } from "../support/helper-process.ts";
import { decode, makeParts, type Parts, type PartsOptions, type Secret } from "../support/stack-parts.ts";
import { startFront, type Front } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { Proxy } from "../support/proxy.ts";

export interface ProxiedHelper {
  readonly parts: Parts;
  /** Between the helper and AWS. */
  readonly aws: Proxy;
  /** Between the helper and the API server. */
  readonly kubernetes: Proxy;
  /** Starts a helper behind both. */
  run(env?: Readonly<Record<string, string>>, cluster?: Partial<Cluster>): HelperProcess;
  /** Whether the registry takes a password now. */
  isAccepted(password: string): Promise<boolean>;
  /** What a namespace's builds log in with. */
  login(namespace: string, name?: string): Promise<string>;
  /** Waits until a namespace has another login than this one, and that is taken; gives it. */
  waitForNewLogin(namespace: string, old: string, name?: string): Promise<string>;
  close(): Promise<void>;
}

/** Deadlines are for a machine that is busy with other things. */
export const timeout = 60_000;

/** `tokenLife` is in milliseconds. */
export async function createProxiedHelper(
  namespaces: readonly string[],
  tokenLife: number,
  options: PartsOptions = {},
): Promise<ProxiedHelper> {
  const any = { address: loopback, port: 0 };
  const front: Front = await startFront({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const parts = await makeParts(namespaces, options);
  const aws = await Proxy.start({ upstream: url(front.api) });
  const kubernetes = await Proxy.start({ upstream: parts.options.server, ca: parts.options.ca });
  const accepts = async (password: string): Promise<boolean> => isLoginAccepted(front.registry, password);
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
      if (!(await accepts(password))) throw new Error(`the registry does not take the new login of ${namespace}`);
      return password;
    },
    close: async () => {
      await parts.remove();
      await Promise.all([aws.close(), kubernetes.close(), front.close()]);
    },
  };
}

export const passwordOf = ({ data }: Secret): string => decode(data["password"]);

/** Fails where a line shows a password, in the clear or as it is in a token. */
export function assertNoPasswordLogged(lines: readonly object[], passwords: Iterable<string>): void {
  const said = JSON.stringify(lines);
  for (const password of passwords) {
    const token = Buffer.from(`AWS:${password}`).toString("base64");
    const forms = [password, token, Buffer.from(token).toString("base64")].map((form) => form.slice(6, 30));
    const shown = forms.find((form) => said.includes(form));
    if (shown !== undefined) throw new Error("a password is in the log");
  }
}
