// What a registry says to a helper's logins.
import { url, type Endpoint } from "./local/machine.ts";

/** The status that a registry answers to a password: 200 where it takes it, 401 where not. */
export async function loginStatus(registry: Endpoint, password: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(`AWS:${password}`).toString("base64")}`;
  const answer = await fetch(`${url(registry)}/v2/`, { headers: { authorization } });
  await answer.body?.cancel();
  return answer.status;
}

export const isLoginTaken = async (registry: Endpoint, password: string): Promise<boolean> =>
  (await loginStatus(registry, password)) === 200;
