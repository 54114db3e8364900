// Anthropic's Node SDK; the key goes into `x-api-key`.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { Report } from "./schemas.mjs";

const WEATHER = {
  name: "get_weather",
  description: "The weather of a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const LONGEST = 4000;

const sdk = ({ url, key }, maxRetries = 0) => new Anthropic({ baseURL: url, apiKey: key, maxRetries });

const conversation = (said) => ({
  system: "Be brief.",
  messages: [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello." },
    { role: "user", content: said },
  ],
});

export async function chat({ model, said, url, key, client, ...more }) {
  return told(await sdk({ url, key }).messages.create({ model, max_tokens: LONGEST, ...conversation(said), ...more }));
}

export async function stream({ model, said, ...door }) {
  const events = sdk(door).messages.stream({ model, max_tokens: LONGEST, ...conversation(said) });
  const pieces = [];
  events.on("text", (piece) => pieces.push(piece));
  return { ...told(await events.finalMessage()), pieces };
}

export async function tools({ model, said, stream, thinking, ...door }) {
  const messages = [{ role: "user", content: said }];
  const asked = { model, max_tokens: LONGEST, messages, tools: [WEATHER], thinking };
  const ask = () => (stream ? sdk(door).messages.stream(asked).finalMessage() : sdk(door).messages.create(asked));
  const message = await ask();
  messages.push({ role: "assistant", content: message.content });
  const called = message.content.filter((block) => block.type === "tool_use");
  messages.push({
    role: "user",
    content: called.map(({ id, input }) => ({ type: "tool_result", tool_use_id: id, content: `${input.city}: 21` })),
  });
  const thought = message.content.map((block) => block.thinking ?? "").join("");
  return { calls: called.map(({ name, input }) => ({ name, ...input })), thought, ...told(await ask()) };
}

export const thinking = (given) => tools({ ...given, thinking: { type: "enabled", budget_tokens: 1024 } });

export async function structured({ model, said, ...door }) {
  const answer = await sdk(door).messages.parse({
    model,
    max_tokens: LONGEST,
    messages: [{ role: "user", content: said }],
    output_config: { format: zodOutputFormat(Report) },
  });
  return answer.parsed_output;
}

export async function seen({ model, said, image, ...door }) {
  const [head, data] = image.split(";base64,");
  const source = { type: "base64", media_type: head.slice("data:".length), data };
  const content = [{ type: "image", source }, { type: "text", text: said }];
  return told(await sdk(door).messages.create({ model, max_tokens: LONGEST, messages: [{ role: "user", content }] }));
}

export async function retried({ model, said, ...door }) {
  return told(await sdk(door, 1).messages.create({ model, max_tokens: LONGEST, ...conversation(said) }));
}

export async function broken({ model, said, ...door }) {
  await sdk(door).messages.stream({ model, max_tokens: LONGEST, ...conversation(said) }).finalMessage();
}

export async function abandoned({ model, said, ...door }) {
  const events = await sdk(door).messages.create({ model, max_tokens: LONGEST, ...conversation(said), stream: true });
  for await (const event of events) {
    if (event.delta?.text) return { pieces: [event.delta.text] };
  }
}

export async function count({ model, said, ...door }) {
  return await sdk(door).messages.countTokens({ model, ...conversation(said) });
}

export async function models({ model, ...door }) {
  const ids = [];
  for await (const one of sdk(door).models.list()) ids.push(one.id);
  return { ids, one: (await sdk(door).models.retrieve(model)).id };
}

function told({ content, stop_reason, usage }) {
  return {
    text: content.map((block) => block.text ?? "").join(""),
    finish: stop_reason,
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
  };
}
