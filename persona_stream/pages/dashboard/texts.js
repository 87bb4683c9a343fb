// Every text of the page as [English, Chinese], so that no text exists in one language alone. Column headings come from the server.

export const TEXTS = {
  title: ["Dashboard", "控制台"], skip: ["Skip to content", "跳到内容"], sections: ["Sections", "页面"], runs: ["Runs", "运行"], charts: ["Charts", "图表"],
  otherLanguage: ["中文", "English"], logout: ["Log out", "退出"], loading: ["Loading…", "正在加载…"],

  loginTitle: ["Log in to the dashboard", "登录控制台"], loginHint: ["The token needs the scope admin. This command prints one:", "令牌需要带有 admin 权限。用以下命令生成："],
  token: ["Token", "令牌"], login: ["Log in", "登录"], loginKept: ["The browser keeps the token in a cookie that scripts cannot read, until it expires.", "浏览器把令牌存入脚本无法读取的 Cookie，直到过期。"],
  e_unauthorized: ["The token is invalid or has expired.", "令牌无效或已过期。"], e_forbidden: ["This token does not have the scope admin.", "此令牌没有 admin 权限。"],
  e_invalid_request: ["The server rejected this request.", "服务器拒绝了此请求。"], e_not_found: ["The log has no such run.", "日志中没有这次运行。"], e_gone: ["This run is no longer available.", "此次运行已不再保留。"],
  e_unavailable: ["The database is unavailable. Runs continue and are logged when it is back.", "数据库暂时不可用。运行照常进行，恢复后会补写日志。"],
  e_internal: ["Something went wrong on the server.", "服务器内部出错。"], e_unreachable: ["The server does not respond.", "服务器没有响应。"], retry: ["Try again", "重试"], serverMessage: ["Server message: {text}", "服务器消息：{text}"],
  noLogTitle: ["This server keeps no log", "此服务器不保存日志"],
  noLog: ["database_url is off, or SQLAlchemy is not installed (pip install SQLAlchemy alembic). Streams are not affected, but the dashboard has nothing to show.", "database_url 已关闭，或未安装 SQLAlchemy（pip install SQLAlchemy alembic）。流式接口不受影响，但控制台没有内容可显示。"],

  filters: ["Filters", "筛选"], search: ["Search", "搜索"], searchHint: ["Search…", "搜索…"], status: ["Status", "状态"], all: ["All", "全部"], failed: ["Failed", "失败"],
  complete: ["Complete", "完成"], error: ["Error", "错误"], timeout: ["Timeout", "超时"], cancelled: ["Cancelled", "已取消"], processing: ["In progress", "进行中"], input_required: ["Asking", "提问中"], asksUser: ["Asks: {text}", "提问：{text}"],
  user: ["User or persona", "用户或角色"], endpoint: ["Endpoint", "接口"], model: ["Model", "模型"], slow: ["Duration", "耗时"], when: ["Time", "时间"],
  anyUser: ["Any user", "不限用户"], anyEndpoint: ["Any endpoint", "全部接口"], anyModel: ["Any model", "全部模型"], anySlow: ["Any duration", "不限耗时"], atLeast: ["{n} s or longer", "{n} 秒以上"],
  anyTime: ["Any time", "不限时间"], lastHour: ["Last hour", "最近 1 小时"], last6: ["Last 6 hours", "最近 6 小时"], lastDay: ["Last 24 hours", "最近 24 小时"], lastWeek: ["Last 7 days", "最近 7 天"], lastMonth: ["Last 30 days", "最近 30 天"],
  clear: ["Clear filters", "清除筛选"], conversationIs: ["Conversation {id}", "对话 {id}"],

  page: ["Page", "页面"], apiDocs: ["API", "API 文档"],
  workers: ["Workers", "工作进程"], host: ["Host", "主机"], process: ["Process", "进程"], pool: ["Pool", "池"], queues: ["Queues", "队列"], slots: ["Slots", "槽位"], runningNow: ["Running", "正在运行"], heartbeat: ["Last heartbeat", "上次心跳"], ago: ["{s} ago", "{s}前"],
  workersSum: ["{n} processes, {running} of {slots} slots in use", "{n} 个进程，已用 {running} / {slots} 个槽位"], noWorkers: ["No worker is running. Start one with: persona-stream work", "没有正在运行的工作进程。用以下命令启动：persona-stream work"],

  doctor: ["Path doctor", "链路诊断"], doctorHint: ["Finds the proxy between this browser and the server that buffers, compresses or cuts streams.", "找出此浏览器与服务器之间缓冲、压缩或切断流的代理。"],
  doctorHolds: ["Hold silent connections too, for {n} s", "同时测试静默连接（{n} 秒）"], measure: ["Measure", "开始测量"], measuring: ["Measuring", "正在测量"], measuringFor: ["Measuring… {n} of {all} s", "正在测量…… {n} / {all} 秒"],
  doctorHealthy: ["Nothing on the path harms streams.", "链路上没有影响流的问题。"], doctorProblems: ["Problems found: {n}", "发现 {n} 个问题"], doctorGood: ["OK", "正常"], doctorBad: ["Problem", "问题"],

  time: ["Time", "时间"], question: ["Question", "问题"], ttft: ["First text", "首字"], ttftLong: ["Time to first text", "首字时间"], total: ["Total", "总耗时"], tokens: ["Tokens", "Token"], cost: ["Cost", "费用"],
  list: ["Runs, newest first", "运行列表，最新在前"], noRuns: ["No runs match these filters.", "没有符合条件的运行。"], noRunsYet: ["No runs yet. New runs appear here automatically.", "还没有运行。新的运行会自动出现在这里。"],
  more: ["Load more", "加载更多"], searchMore: ["Search further back (reached {when})", "继续向前搜索（已搜到 {when}）"], end: ["End of the list.", "已全部显示。"], newRuns: ["{n} new", "{n} 次新运行"], nShown: ["Runs shown: {n}", "显示 {n} 次运行"], notKept: ["(text not logged)", "（文本未记录）"],

  back: ["All runs", "全部运行"], tabs: ["Run details", "运行详情"], exchange: ["Question and answer", "问题与回答"], request: ["Request", "请求"], response: ["Backend", "后端"], http: ["HTTP", "HTTP"], timing: ["Timing", "耗时"],
  run: ["Run", "运行"], copy: ["Copy", "复制"], copied: ["Copied", "已复制"], cancel: ["Cancel run", "取消运行"], cancelling: ["Cancelling…", "正在取消…"],
  prompt: ["Additional prompt", "附加提示词"], body: ["Request body", "原始请求体"],
  textsOff: ["Not logged: log_bodies is off, or there was none.", "未记录：log_bodies 已关闭，或没有内容。"],
  attachments: ["Attachments", "附件"], kindOf: ["Kind", "类型"], sizeOf: ["Size", "大小"], a_image: ["image", "图片"], a_file: ["file", "文件"], a_audio: ["recording", "录音"], noName: ["without a name", "无名称"], byAddress: ["by address", "通过地址"],
  answer: ["Answer", "回答"], reasoning: ["Reasoning", "推理过程"], noAnswer: ["No answer.", "没有回答。"], noAnswerYet: ["No text yet.", "还没有文本。"], errorTitle: ["Error", "错误"], code: ["Code", "代码"], upstream: ["Provider calls", "对提供方的调用"], attempt: ["Attempt {n}: {provider}, {model}", "第 {n} 次：{provider}，{model}"], sent: ["Sent", "发送"], received: ["Received", "收到"], raw: ["Raw response of the backend", "后端的原始响应"],
  live: ["Live", "实时"], liveBroken: ["The connection was lost. Reconnecting…", "连接中断，正在自动重连…"], writing: ["Writing the answer…", "正在输出回答…"], progress: ["Progress", "进度"], elsewhere: ["In progress. Its stream is not available here.", "进行中，但无法在此读取其数据流。"],
  requestHeaders: ["Request headers", "请求头"], responseHeaders: ["Response headers", "响应头"], noHeaders: ["No headers were logged.", "没有记录请求头或响应头。"], name: ["Name", "名称"], value: ["Value", "值"],
  waterfall: ["Time by stage", "各阶段时间"], waiting: ["Queued", "排队"], processingStage: ["Processing", "处理"], provided: ["Provider", "提供方"], text: ["Text from the backend", "后端文本"], firstText: ["Until the first text", "首字之前"], delivery: ["Delivery", "发送"], stage: ["Stage", "阶段"],
  step: ["Step", "步骤"], steps: ["Steps", "步骤明细"], noTiming: ["No measurements yet.", "还没有测量数据。"], after: ["After", "时刻"],
  k_started: ["Started", "开始处理"], k_reported: ["Report", "进度报告"], k_reasoned: ["Reasoning", "推理"], k_text: ["Text", "文本"], k_input: ["Question to the user", "向用户提问"], k_asked: ["Provider call", "调用提供方"], k_called: ["Tool call", "工具调用"], k_answered: ["Answered", "已回答"], k_failed: ["Failed", "失败"], nCharacters: ["{n} characters", "{n} 个字符"], lasted: ["for {s}", "持续 {s}"],
  inputTokens: ["Input tokens", "输入 Token"], outputTokens: ["Output tokens", "输出 Token"], allTokens: ["Total tokens", "Token 总数"], byProvider: ["reported by the provider", "由提供方统计"], yes: ["Yes", "是"], no: ["No", "否"], byUs: ["estimated by the server", "由服务器估算"], price: ["Average price per million tokens", "每百万 Token 平均价格"], noPrice: ["The price of this model is not known. Set a price list with --prices.", "没有此模型的价格，可用 --prices 指定价格表。"],
  forget: ["Delete all data of user “{name}”…", "删除用户“{name}”的所有数据…"], moreActions: ["More actions", "更多操作"], rawText: ["Raw", "原文"], conversationOf: ["Conversation ({n} runs)", "对话（{n} 次运行）"], forgetTitle: ["Delete all data of user “{name}”?", "删除用户“{name}”的所有数据？"], forgetText: ["All runs of this user in the log and all conversations are deleted, and runs in progress are cancelled. This cannot be undone.", "将删除此用户在日志中的所有运行和全部对话，并取消进行中的运行。此操作无法撤销。"], forgetYes: ["Delete", "删除"], forgetNo: ["Cancel", "取消"], forgotten: ["All data of user “{name}” was deleted.", "已删除用户“{name}”的所有数据。"],

  range: ["Range", "范围"], r1: ["1 h", "1 小时"], r6: ["6 h", "6 小时"], r24: ["24 h", "24 小时"], r168: ["7 d", "7 天"], r720: ["30 d", "30 天"], zoomIn: ["Zoom in", "放大"], zoomOut: ["Zoom out", "缩小"], earlier: ["Earlier", "更早"], later: ["Later", "更晚"], zoomHint: ["Drag over a chart to zoom in, double-click to go back. Arrow keys read the values.", "在图上拖动可放大，双击还原；方向键逐点读取。"],
  progressAccuracy: ["Accuracy of the progress", "进度的准确度"], backend: ["Backend", "后端"], progressError: ["Error", "误差"], progressBest: ["Best curve", "最佳曲线"], progressStuck: ["At 95 %", "停在 95 %"], progressRange: ["In the range", "落在区间内"],
  progressHint: ["Mean error of the percentage in points; 80 % of the remaining times should be in the range. Of this process.", "百分比的平均误差（百分点）；剩余时间应有 80 % 落在区间内。仅限此进程。"],
  requests: ["Requests", "请求数"], errors: ["Failed", "失败"], inFlight: ["Average concurrency", "平均并发"], p: ["p{n}", "p{n}"], perSlice: ["per {s}", "每 {s}"], summary: ["Summary", "汇总"], errorRate: ["Failed", "失败率"], mean: ["Mean", "平均"], ofRuns: ["Runs", "运行次数"], tokenPace: ["Output tokens per second", "每秒输出 Token 数"], pace: ["Delivery speed, characters per second", "发送速度（字符/秒）"], performance: ["Average per stage", "各阶段平均值"], numbers: ["Data table", "数据表"],
  sec: ["{n} s", "{n} 秒"], ms: ["{n} ms", "{n} 毫秒"], min: ["{n} min", "{n} 分"], hour: ["{n} h", "{n} 小时"], day: ["{n} d", "{n} 天"],
};

const KEY = "persona_stream.dashboard.locale";
let chosen = null;
try { chosen = localStorage.getItem(KEY); } catch { /* storage is forbidden: the choice lasts until the page is closed */ }

export function language() {
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag === "zh" || tag === "en") ?? "en";
}
export function switchLanguage() {
  chosen = language() === "zh" ? "en" : "zh";
  try { localStorage.setItem(KEY, chosen); } catch { /* as above */ }
}
export function t(key, values = {}) {
  return TEXTS[key][language() === "zh" ? 1 : 0].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
