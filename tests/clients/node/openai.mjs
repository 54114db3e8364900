// OpenAI's Node SDK.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { Report } from "./schemas.mjs";

const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const sdk = ({ url, key }, maxRetries = 0) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries });

const conversation = (said) => [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello." },
  { role: "user", content: said },
];

export async function chat({ model, said, url, key, client, ...more }) {
  return told(await sdk({ url, key }).chat.completions.create({ model, messages: conversation(said), ...more }));
}

export async function stream({ model, said, ...door }) {
  const options = { model, messages: conversation(said), stream_options: { include_usage: true } };
  const events = sdk(door).chat.completions.stream(options);
  const pieces = [];
  events.on("content", (piece) => pieces.push(piece));
  return { ...told(await events.finalChatCompletion()), pieces };
}

export async function tools({ model, said, stream, reasoning_effort, ...door }) {
  const messages = [{ role: "user", content: said }];
  const asked = { model, messages, tools: [WEATHER], reasoning_effort };
  const ask = async () => {
    const answering = sdk(door).chat.completions;
    const completion = stream ? await answering.stream(asked).finalChatCompletion() : await answering.create(asked);
    return completion.choices[0].message;
  };
  const message = await ask();
  messages.push(message);
  const calls = message.tool_calls.map((call) => ({ name: call.function.name, ...JSON.parse(call.function.arguments) }));
  message.tool_calls.forEach((call, index) =>
    messages.push({ role: "tool", tool_call_id: call.id, content: `${calls[index].city}: 21` }),
  );
  return { calls, thought: message.reasoning_content, text: (await ask()).content };
}

export const thinking = (given) => tools({ ...given, reasoning_effort: "low" });

export async function structured({ model, said, ...door }) {
  const messages = [{ role: "user", content: said }];
  const asked = { model, messages, response_format: zodResponseFormat(Report, "report") };
  const whole = await sdk(door).chat.completions.parse(asked);
  const streamed = await sdk(door).chat.completions.stream(asked).finalChatCompletion();
  const [one, other] = [whole, streamed].map((completion) => completion.choices[0].message.parsed);
  if (JSON.stringify(one) !== JSON.stringify(other)) throw new Error(`${JSON.stringify(other)} was streamed`);
  return one;
}

export async function seen({ model, said, image, ...door }) {
  const content = [{ type: "text", text: said }, { type: "image_url", image_url: { url: image } }];
  return told(await sdk(door).chat.completions.create({ model, messages: [{ role: "user", content }] }));
}

export async function retried({ model, said, ...door }) {
  return told(await sdk(door, 1).chat.completions.create({ model, messages: conversation(said) }));
}

export async function broken({ model, said, ...door }) {
  await sdk(door).chat.completions.stream({ model, messages: conversation(said) }).finalChatCompletion();
}

export async function abandoned({ model, said, ...door }) {
  const chunks = await sdk(door).chat.completions.create({ model, messages: conversation(said), stream: true });
  for await (const chunk of chunks) {
    const piece = chunk.choices[0]?.delta.content;
    if (piece) return { pieces: [piece] };
  }
}

export async function embeddings({ model, said, ...door }) {
  const answer = await sdk(door).embeddings.create({ model, input: said });
  return { vectors: answer.data.map((one) => one.embedding), input_tokens: answer.usage.prompt_tokens };
}

export async function models({ model, ...door }) {
  const ids = [];
  for await (const one of sdk(door).models.list()) ids.push(one.id);
  return { ids, one: (await sdk(door).models.retrieve(model)).id };
}

function told({ choices: [choice], usage }) {
  return {
    text: choice.message.content,
    finish: choice.finish_reason,
    input_tokens: usage?.prompt_tokens,
    output_tokens: usage?.completion_tokens,
  };
}
