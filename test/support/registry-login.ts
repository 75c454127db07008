// Whether a registry accepts a helper's logins.
import type { Endpoint } from "../local/settings.ts";
import { RegistryClient } from "./registry-client.ts";

/** The registry's status for a password: 200 if it is accepted, 401 if it is not, 403 if it has expired. */
export async function loginStatus(registry: Endpoint, password: string): Promise<number> {
  const answer = await new RegistryClient(registry, password).send("GET", "/v2/");
  await answer.body?.cancel();
  return answer.status;
}

/** Whether the registry accepts a password now. */
export const isLoginAccepted = async (registry: Endpoint, password: string): Promise<boolean> =>
  (await loginStatus(registry, password)) === 200;
