"""The plainest streaming client there is: split on newlines, parse each `data:` line, print `.content`."""

import asyncio
import shutil

import pytest

from shared.events import Delta, Reasoning, ToolCall, UsageReport
from tests.chat_service.conftest import MakeApp
from tests.chat_service.fake_llm import USAGE, FakeLlm, Gate, done, start
from tests.chat_service.serving import served
from tests.tokens import make_token

NODE = shutil.which("node")
CLIENT = """
const [url, token] = process.argv.slice(1);
const response = await fetch(`${url}/api/chat/messages`, {
  method: 'POST',
  headers: { 'Authorization': `Bearer ${token}`, 'Content-Type': 'application/json' },
  body: JSON.stringify({ content: 'Qual é a capital do Brasil?', model: 'gpt-4', stream: true }),
});
const reader = response.body.getReader();
const decoder = new TextDecoder();
let rest = '';
while (true) {
  const { done, value } = await reader.read();
  if (done) break;
  const lines = (rest + decoder.decode(value, { stream: true })).split('\\n');
  rest = lines.pop();
  for (const line of lines) {
    if (line.startsWith('data: ')) process.stdout.write(JSON.parse(line.slice(6)).content);
  }
}
"""


@pytest.mark.skipif(NODE is None, reason="node is not installed")
async def test_a_plain_node_client_prints_the_answer_and_nothing_else(make_app: MakeApp, llm: FakeLlm) -> None:
    assert NODE is not None
    gate = Gate()
    llm.will(
        [
            start(),
            Reasoning(reasoning="Hm."),
            Delta(content="A capital do Brasil\n"),
            gate,
            Delta(content="é Brasília 🇧🇷."),
            ToolCall(id="call_1", name="clock", arguments="{}"),
            UsageReport(usage=USAGE),
            done(),
        ]
    )
    command = [NODE, "--input-type=module", "--eval", CLIENT]
    async with served(make_app()) as url:
        client = await asyncio.create_subprocess_exec(*command, url, make_token(), stdout=asyncio.subprocess.PIPE)
        assert client.stdout is not None
        first = await asyncio.wait_for(client.stdout.readline(), 20)
        assert first.decode() == "A capital do Brasil\n"  # shown while the rest is not said yet
        gate.open()
        printed, _ = await asyncio.wait_for(client.communicate(), 20)
    assert printed.decode() == "é Brasília 🇧🇷."
    assert client.returncode == 0
