// pulumi-resource-docker: the plugin that the engine starts for @pulumi/docker.
import { servePlugin } from "../plugin-server.ts";
import { dockerProvider } from "./provider.ts";

await servePlugin(dockerProvider);
