// What a registry says to a helper's logins.
import type { Endpoint } from "../local/settings.ts";
import { RegistryClient } from "./registry-client.ts";

/** The status that a registry answers to a password: 200 where it takes it, 401 where not, 403 where it has ended. */
export async function loginStatus(registry: Endpoint, password: string): Promise<number> {
  const answer = await new RegistryClient(registry, password).send("GET", "/v2/");
  await answer.body?.cancel();
  return answer.status;
}

export const isLoginAccepted = async (registry: Endpoint, password: string): Promise<boolean> =>
  (await loginStatus(registry, password)) === 200;
