// The stream of a run in progress, as its subscribers get it, from the beginning.

import { language } from "./texts.js";

// Calls `update` with { status, message, progress, elapsed, text, reasoning, broken }, and `ended` once at the end.
export function follow(address, update, ended) {
  const state = { status: "processing", message: "", progress: null, elapsed: 0, text: "", reasoning: "", broken: false };
  let worked = 0;   // percent before the text, from which the delivery continues: the bar never falls
  const source = new EventSource(`${address}&style=smart&locale=${language()}`);
  let drawing = 0;
  const draw = () => { drawing ||= requestAnimationFrame(() => { drawing = 0; update(state); }); };
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    state.broken = false;
    if (event.status === "streaming") { state.text += event.data; state.status = "streaming"; state.progress = worked + (100 - worked) * (event.streaming_progress ?? 0) / 100; }
    else if (event.status === "reasoning") state.reasoning += event.reasoning;
    else if (!event.is_complete) {
      state.status = event.status;
      state.message = event.message ?? state.message;
      if (event.progress < 100) state.progress = worked = Math.max(worked, event.progress);
      state.elapsed = event.elapsed_time ?? state.elapsed;
    }
    if (event.is_complete) { source.close(); ended(event.status); }
    draw();
  };
  source.onerror = () => {
    // CLOSED is final; otherwise the browser reconnects by itself.
    if (source.readyState === EventSource.CLOSED) ended(null);
    else { state.broken = true; draw(); }
  };
  return () => { source.close(); cancelAnimationFrame(drawing); };
}
