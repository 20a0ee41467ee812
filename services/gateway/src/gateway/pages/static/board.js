// Keeps the page fresh: asks for it again when the board says that something changed.
// Without EventSource, or when the stream fails, it asks every fifteen seconds.
(function () {
  "use strict";
  var main = document.querySelector("main[data-live]");
  if (!main || !window.fetch || !window.DOMParser) return;
  var sale = main.getAttribute("data-live");
  var waiting = null;
  var polling = null;
  var asking = false;
  var again = false;

  function say(text) {
    var place = document.querySelector("[data-fresh]");
    if (place && place.textContent !== text) place.textContent = text;
  }

  function refresh() {
    waiting = null;
    if (asking) { again = true; return; }
    asking = true;
    fetch(window.location.href, { cache: "no-store", credentials: "same-origin" })
      .then(function (answer) {
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.text();
      })
      .then(function (text) {
        var fresh = new DOMParser().parseFromString(text, "text/html");
        var found = fresh.querySelector("main[data-live]");
        if (found && found.innerHTML !== main.innerHTML) {
          main.innerHTML = found.innerHTML;
          document.title = fresh.title;
          say("本页已于 " + new Date().toLocaleTimeString("zh-CN", { hour12: false }) + " 自动更新");
        }
      })
      .catch(function () { say("暂时连不上，将自动重试"); })
      .then(function () {
        asking = false;
        if (again) { again = false; soon(); }
      });
  }

  // Changes come in bursts: one look after each is enough.
  function soon() {
    if (waiting === null) waiting = window.setTimeout(refresh, 300);
  }

  function poll() {
    if (polling === null) polling = window.setInterval(refresh, 15000);
  }

  function changed(event) {
    var told = {};
    try { told = JSON.parse(event.data); } catch (unreadable) { told = {}; }
    if (!sale || !told.sale_id || told.sale_id === sale) soon();
  }

  if (!window.EventSource) { poll(); return; }
  var stream = new EventSource("/v1/board/stream");
  var isOpen = false;
  stream.onopen = function () {
    // What changed while nobody listened is seen by looking once.
    if (polling !== null) { window.clearInterval(polling); polling = null; soon(); }
    isOpen = true;
    say("本页随事项发生自动更新");
  };
  stream.onmessage = changed;
  ["change", "reset"].forEach(function (kind) { stream.addEventListener(kind, changed); });
  stream.onerror = function () {
    if (isOpen) say("正在重新连接");
    isOpen = false;
    poll();
  };
  window.addEventListener("pagehide", function () { stream.close(); });
})();
