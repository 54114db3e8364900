// The Vercel AI SDK, over each of its providers that a user may point at us.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { Report } from "./schemas.mjs";

const PROVIDERS = {
  "vercel-openai": (settings, model) => createOpenAI(settings).chat(model),
  "vercel-anthropic": (settings, model) => createAnthropic(settings)(model),
  "vercel-compatible": (settings, model) => compatible(settings)(model),
};
const EMBEDDERS = {
  "vercel-openai": (settings, model) => createOpenAI(settings).embedding(model),
  "vercel-compatible": (settings, model) => compatible(settings).embeddingModel(model),
};
const THINKING = {
  openai: { reasoningEffort: "low" },
  synapscale: { reasoningEffort: "low" },
  anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } },
};

const compatible = (settings) =>
  createOpenAICompatible({ ...settings, name: "synapscale", includeUsage: true, supportsStructuredOutputs: true });
const settings = ({ url, key }) => ({ baseURL: `${url}/v1`, apiKey: key });
const of = ({ client, model, ...door }) => PROVIDERS[client](settings(door), model);

const conversation = (said) => ({
  system: "Be brief.",
  messages: [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello." },
    { role: "user", content: said },
  ],
});

export async function chat({ said, ...given }) {
  return told(await generateText({ model: of(given), maxRetries: 0, ...conversation(said) }));
}

export async function stream({ said, ...given }) {
  const { pieces, answer } = await streamed({ model: of(given), ...conversation(said) });
  return { ...(await told(answer)), pieces };
}

export async function tools({ said, stream, providerOptions, ...given }) {
  const get_weather = tool({
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `${city}: 21`,
  });
  const asked = {
    model: of(given),
    maxRetries: 0,
    prompt: said,
    tools: { get_weather },
    stopWhen: stepCountIs(3),
    providerOptions,
  };
  const answer = stream ? (await streamed(asked)).answer : await generateText(asked);
  const [first] = await answer.steps;
  const calls = first.toolCalls.map(({ toolName, input }) => ({ name: toolName, ...input }));
  return { calls, thought: first.reasoningText, ...(await told(answer)) };
}

export const thinking = (given) => tools({ ...given, providerOptions: THINKING });

export async function structured({ said, ...given }) {
  const { object } = await generateObject({ model: of(given), maxRetries: 0, schema: Report, prompt: said });
  const asked = { model: of(given), prompt: said, output: Output.object({ schema: Report }) };
  const output = await (await streamed(asked)).answer.output;
  if (JSON.stringify(output) !== JSON.stringify(object)) throw new Error(`${JSON.stringify(output)} was streamed`);
  return object;
}

export async function seen({ said, image, ...given }) {
  const content = [{ type: "text", text: said }, { type: "image", image }];
  return told(await generateText({ model: of(given), maxRetries: 0, messages: [{ role: "user", content }] }));
}

export async function retried({ said, ...given }) {
  return told(await generateText({ model: of(given), maxRetries: 1, ...conversation(said) }));
}

export async function broken({ said, ...given }) {
  await streamed({ model: of(given), ...conversation(said) });
}

export async function abandoned({ said, ...given }) {
  const leaving = new AbortController();
  const answer = streamText({ model: of(given), abortSignal: leaving.signal, ...conversation(said) });
  for await (const piece of answer.textStream) {
    leaving.abort();
    return { pieces: [piece] };
  }
}

export async function embeddings({ said, client, model, ...door }) {
  const { embeddings, usage } = await embedMany({ model: EMBEDDERS[client](settings(door), model), values: said });
  return { vectors: embeddings, input_tokens: usage.tokens };
}

// streamText tells errors to a callback, not to who reads the stream.
async function streamed(asked) {
  let failure;
  const answer = streamText({ maxRetries: 0, ...asked, onError: ({ error }) => (failure = error) });
  const pieces = [];
  for await (const piece of answer.textStream) pieces.push(piece);
  if (failure) throw failure;
  return { pieces, answer };
}

async function told(answer) {
  const [text, finish, usage] = await Promise.all([answer.text, answer.finishReason, answer.usage]);
  return { text, finish, input_tokens: usage.inputTokens, output_tokens: usage.outputTokens };
}
