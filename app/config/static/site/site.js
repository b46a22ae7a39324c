// Keeps a page that refreshes itself honest. Markup: [data-live] is asked for again by htmx on "refresh" and every few
// seconds; beside it [data-live-status], [data-live-time], [data-live-alert] with [data-live-reason], and [data-live-pause].
"use strict";
(() => {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  const find = (name) => document.querySelector(`[data-live-${name}]`);
  const [status, alert, reason, pause] = ["status", "alert", "reason", "pause"].map(find);
  const SILENCE_MS = 15_000;
  const REFUSALS = {
    401: "Your session has ended: reload to log in again.",
    403: "You may no longer look at this page.",
  };
  let heardAt = Date.now();
  let isPaused = false;

  const isSelecting = () => {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(document.getElementById("content"), true);
  };
  const hold = (why) => {
    status.dataset.held = why;
    heardAt = Date.now(); // silence on purpose
  };
  const refresh = () => window.htmx && window.htmx.trigger(live, "refresh");

  const fresh = () => {
    heardAt = Date.now();
    alert.hidden = true;
    delete document.body.dataset.stale;
    delete status.dataset.held;
  };
  const stale = (problem) => {
    const sentence = `${problem} What you see is from ${find("time").textContent}.`;
    if (reason.textContent !== sentence) reason.textContent = sentence; // said once, not every three seconds
    alert.hidden = false;
    document.body.dataset.stale = "";
  };

  live.addEventListener("htmx:beforeRequest", (event) => {
    const why = isPaused ? "paused" : isSelecting() ? "waiting while text is selected" : document.hidden ? "paused in the background" : "";
    if (!why) return;
    event.preventDefault();
    hold(why);
  });
  live.addEventListener("htmx:afterRequest", (event) => event.detail.successful && fresh());
  live.addEventListener("htmx:responseError", ({ detail }) => {
    stale(REFUSALS[detail.xhr.status] || `The server answered with an error (${detail.xhr.status}); trying again.`);
  });
  live.addEventListener("htmx:sendError", () => stale("The server cannot be reached; trying again."));
  live.addEventListener("htmx:timeout", () => stale("The server does not answer in time; trying again."));
  setInterval(() => {
    if (!document.hidden && Date.now() - heardAt > SILENCE_MS) stale("Nothing was heard from the server.");
  }, 1_000);

  // A live region that is written again is read aloud again, even when it says the same.
  document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
    const { target, fragment } = detail;
    if (target.hasAttribute("aria-live") && target.textContent.trim() === fragment.textContent.trim()) detail.shouldSwap = false;
  });

  document.addEventListener("visibilitychange", () => {
    heardAt = Date.now();
    if (!document.hidden) refresh();
  });

  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused) hold("paused");
    else refresh();
  });
})();
