{{/* Every template here gets a dict: root, name (energy), service (its values), role (api). */}}

{{- define "yaosu.name" -}}
{{ .root.Release.Name }}-{{ .name }}-{{ .role }}
{{- end }}

{{- define "yaosu.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: {{ .service.program }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "yaosu.labels" -}}
{{ include "yaosu.selector" . }}
app.kubernetes.io/part-of: yaosu
app.kubernetes.io/version: {{ .root.Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "yaosu.url" -}}
postgresql+psycopg://{{ .user }}@{{ .root.Values.postgres.host }}:{{ .root.Values.postgres.port }}/{{ .service.database }}?sslmode={{ .root.Values.postgres.sslmode }}
{{- end }}

{{- define "yaosu.upstreams" -}}
{{- $root := .root -}}
{{- $upstreams := dict -}}
{{- range $name, $service := $root.Values.services -}}
{{- if ne $name "gateway" -}}
{{- $host := printf "http://%s-%s-api" $root.Release.Name $name -}}
{{- $source := printf "/%s/%s" $root.Values.city $service.program -}}
{{- $_ := set $upstreams $name (dict "api" (printf "%s:8000" $host) "inner" (printf "%s:9000" $host) "source" $source) -}}
{{- end -}}
{{- end -}}
{{ toJson $upstreams }}
{{- end }}

{{- define "yaosu.hosts" -}}
{{- $inner := list (printf "%s-%s-api" .root.Release.Name .name) -}}
{{ toJson (ternary .root.Values.portalHosts $inner (eq .name "gateway")) }}
{{- end }}

{{- define "yaosu.env" -}}
- { name: YAOSU_ENV, value: prod }
- { name: YAOSU_CITY, value: {{ .root.Values.city | quote }} }
- { name: YAOSU_DATABASE_URL, value: {{ include "yaosu.url" (set . "user" "yaosu_app") | quote }} }
{{- if eq .role "migrate" }}
- { name: YAOSU_MIGRATE_URL, value: {{ include "yaosu.url" (set . "user" "yaosu_owner") | quote }} }
{{- end }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .root.Release.Name }}-{{ .service.program }}-database
      key: {{ ternary "owner-password" "app-password" (eq .role "migrate") }}
- { name: YAOSU_KAFKA_SERVERS, value: {{ .root.Values.kafka.servers | quote }} }
- { name: YAOSU_HOST, value: 0.0.0.0 }
- { name: YAOSU_ALLOWED_HOSTS, value: {{ include "yaosu.hosts" . | quote }} }
- { name: YAOSU_API_PORT, value: "8000" }
- { name: YAOSU_INNER_PORT, value: "9000" }
- { name: YAOSU_KEYS_DIR, value: /run/keys }
- { name: YAOSU_POOL_SIZE, value: {{ .root.Values.postgres.poolSize | quote }} }
{{- if eq .name "gateway" }}
- { name: YAOSU_UPSTREAMS, value: {{ include "yaosu.upstreams" . | quote }} }
{{- end }}
{{- end }}

{{- define "yaosu.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
volumes:
  - name: keys
    secret:
      secretName: {{ .root.Release.Name }}-{{ .service.program }}-keys
      defaultMode: 0440
  - name: tmp
    emptyDir: { medium: Memory, sizeLimit: 64Mi }
{{- end }}

{{- define "yaosu.container" -}}
name: {{ .role }}
image: {{ .root.Values.image.repository }}/{{ .service.program }}:{{ .root.Values.image.tag }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [--role, {{ .role }}]
env:
  {{- include "yaosu.env" . | nindent 2 }}
volumeMounts:
  - { name: keys, mountPath: /run/keys, readOnly: true }
  - { name: tmp, mountPath: /tmp }
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}
