// Performs scenarios, one line of JSON in and one out, until its input ends.
import { createInterface } from "node:readline";

globalThis.AI_SDK_LOG_WARNINGS = false; // standard output is ours
const MODULES = {
  "openai": "./openai.mjs",
  "anthropic": "./anthropic.mjs",
  "vercel-openai": "./vercel.mjs",
  "vercel-anthropic": "./vercel.mjs",
  "vercel-compatible": "./vercel.mjs",
};

for await (const line of createInterface({ input: process.stdin })) {
  const { client, scenario, ...given } = JSON.parse(line);
  let told;
  try {
    const module = await import(MODULES[client]);
    told = await module[scenario]({ client, ...given });
  } catch (error) {
    told = { raised: describe(error) };
  }
  process.stdout.write(JSON.stringify(told) + "\n");
}

function describe(error) {
  return {
    name: error.constructor.name,
    message: error.stack ?? String(error),
    status: error.status ?? error.statusCode ?? null,
    request_id: error.requestID ?? error.responseHeaders?.["x-request-id"] ?? null,
  };
}
